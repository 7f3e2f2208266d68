"""Mails: what they look like, and how a mail server is given them."""
