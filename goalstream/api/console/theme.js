// Before the page is drawn.
document.documentElement.dataset.theme = localStorage.theme ?? "";
