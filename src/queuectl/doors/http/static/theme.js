// Chooses light or dark before the first paint, so that the page never flashes.
(() => {
	let chosen = null;
	try { chosen = localStorage.getItem('queuectl.theme'); } catch { /* storage may be forbidden: then the system decides */ }
	if (chosen === 'light' || chosen === 'dark') document.documentElement.dataset.theme = chosen;
})();
