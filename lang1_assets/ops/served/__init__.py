"""Models behind somebody's HTTP server: asked, sampled, paid for once, and never sent a note unless their address is allowed."""
