// Buttons that copy a text, if the browser allows it.

const SHOWN_MS = 1500;

/** Shows the button, which copies what `text()` returns and briefly shows whether it succeeded. */
export function offerCopy(button, text) {
  const name = button.textContent;
  button.hidden = !navigator.clipboard; // only over HTTPS or from this machine
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
