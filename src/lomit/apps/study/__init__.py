"""The user study of the paper (section 5.4): built from translations, answered in a browser, counted with intervals."""
