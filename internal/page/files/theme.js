// The theme that was chosen here before, set before anything is painted.
'use strict';
try {
  const theme = localStorage.getItem('relay-theme');
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
} catch {
  // Storage may be forbidden. The system's theme is used then.
}
