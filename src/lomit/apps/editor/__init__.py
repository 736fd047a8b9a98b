"""`lomit edit`: masks edited by hand in the browser (paper, Fig. 4 a' to c'); see docs/editor.md."""
