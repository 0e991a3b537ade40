"""The alert-burden report of a run: what the rules would do here, before they go live.

`count` goes through the rows once; `suppress` hides what few people stand behind; `content` says it in tables and
words; `charts` draws them; `render` writes Markdown and HTML of the same content; `compare` sets two runs side by side.
"""
