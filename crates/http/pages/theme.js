// A plain script, run before anything is drawn: the colours that were chosen here before.
{
  let theme = "";
  try { theme = localStorage.getItem("frp.theme") ?? ""; } catch { /* storage may be forbidden */ }
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
}
