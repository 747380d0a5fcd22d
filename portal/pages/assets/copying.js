// Has a button copy a text, where the browser lets a page copy.

const SHOWN_MS = 1500;

/** Shows the button, which copies what `text()` returns and says for a moment whether it could. */
export function offerCopy(button, text) {
  const name = button.textContent;
  button.hidden = !navigator.clipboard; // only where the page came by HTTPS or from this machine
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text());
      button.textContent = "Copied";
    } catch {
      button.textContent = "Not copied";
    }
    setTimeout(() => { button.textContent = name; }, SHOWN_MS);
  });
}
