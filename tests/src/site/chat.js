// One user of the chat. Alice asks, bob answers, twenty times; then alice leaves, and bob after her.
// Each gives the page around it all lines that were heard.
const ROUNDS = 20;

const name = new URLSearchParams(location.search).get("name");
const socket = new WebSocket(`${location.origin.replace("http", "ws")}/room?name=${name}`);
const heard = [];

function ask(round) {
  // One of them is too long for one packet.
  socket.send(`question ${round} ¿` + "?".repeat(round === 7 ? 300000 : round));
}

socket.onmessage = ({ data }) => {
  heard.push(data);
  const [, number] = data.match(/^bob: answer (\d+)$/) ?? [];
  const [, asked] = data.match(/^alice: question (\d+) /) ?? [];
  if (name === "alice") {
    if (data.startsWith("2 are here")) ask(1);
    if (number && number < ROUNDS) ask(Number(number) + 1);
    if (number == ROUNDS) socket.close(1000);
  } else {
    if (asked) socket.send(`answer ${asked}`);
    if (data === "alice left") socket.close(1000);
  }
};

socket.onclose = ({ code, wasClean }) => {
  heard.push(`closed ${code} ${wasClean}`);
  parent.postMessage({ name, heard }, location.origin);
};
