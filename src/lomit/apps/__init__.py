"""Programs with a page in the browser."""
