// Runs before the first paint, so that a chosen theme does not flash. Storage may be forbidden: then the system's choice holds.
try {
  const theme = localStorage.getItem('bramble.theme')
  if (theme === 'dark' || theme === 'light') document.documentElement.dataset['theme'] = theme
} catch {
  // Nothing to restore.
}
