"""Results as Markdown, CSV, pictures and a site. No torch."""
