"""An RS485 bus with lock boards on a pseudo-terminal.

Written without sight of the daemon's codec, and never imports it: two independent implementations check each other.
"""
