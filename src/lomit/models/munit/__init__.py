"""MUNIT: an auto-encoder of content and style for each domain."""
