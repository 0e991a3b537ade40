"""What the pages for people show, made ready for their templates: plain data, no HTML but rendered Markdown."""
