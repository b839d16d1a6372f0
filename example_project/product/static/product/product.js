// Not needed, only nice: a form that was submitted says so and can't be submitted twice.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post") return;
  if (form.getAttribute("aria-busy") === "true") return event.preventDefault();
  form.setAttribute("aria-busy", "true");
  const button = event.submitter;
  if (button && form.dataset.busyText) {
    button.dataset.text = button.textContent;
    button.textContent = form.dataset.busyText;
  }
});
window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll('form[aria-busy="true"]')) {
    form.removeAttribute("aria-busy");
    for (const button of form.querySelectorAll("button[data-text]")) button.textContent = button.dataset.text;
  }
});
