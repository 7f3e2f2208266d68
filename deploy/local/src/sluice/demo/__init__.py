"""`sluice demo`: an outside user of the wire contract, who feeds a system, works with it, and checks its books."""
