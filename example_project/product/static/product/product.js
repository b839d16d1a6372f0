// An order's page asks this site now and then whether a webhook has told something new, and shows it.
const live = document.querySelector("[data-live]");
const refresh = async () => {
  const version = await (await fetch(live.dataset.live)).text();
  if (version === live.dataset.version) return;
  const page = new DOMParser().parseFromString(await (await fetch(location.href)).text(), "text/html");
  const fresh = page.querySelector("[data-order]");
  if (!fresh) return;
  live.dataset.version = fresh.dataset.version;
  live.replaceChildren(...fresh.childNodes);
};
if (live) setInterval(() => document.hidden || refresh().catch(() => {}), 2000);

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
