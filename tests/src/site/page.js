// Puts images into the page, waits for them and for both users of the chat, and posts what there is
// to see then to /report.
const COUNT = 16;

const heard = {};
const chats = new Promise((done) => {
  addEventListener("message", ({ data }) => {
    heard[data.name] = data.heard;
    if (Object.keys(heard).length === 2) done();
  });
});

// The sum of all its colours: says whether every byte came.
function colours(image) {
  const canvas = document.createElement("canvas");
  canvas.width = image.naturalWidth;
  canvas.height = image.naturalHeight;
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
  return data.reduce((sum, value) => sum + value, 0);
}

async function look() {
  const box = document.getElementById("images");
  for (let i = 0; i < COUNT; i++) box.append(Object.assign(new Image(), { src: `/image-${i}.bmp` }));
  const images = [...box.children];
  await Promise.all(images.map((image) => image.decode()));
  await chats;
  const entries = ["navigation", "resource"].flatMap((type) => performance.getEntriesByType(type));
  return {
    images: images.map((image) => [image.naturalWidth, image.naturalHeight, colours(image)]),
    style: getComputedStyle(document.querySelector("h1")).color,
    protocols: [...new Set(entries.map((entry) => entry.nextHopProtocol))],
    heard,
  };
}

look()
  .catch((error) => ({ error: String(error) }))
  .then((report) => fetch("/report", { method: "POST", body: JSON.stringify(report) }));
