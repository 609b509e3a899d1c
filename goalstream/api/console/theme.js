// Before the page is drawn.
document.documentElement.style.colorScheme = localStorage.theme ?? "";
