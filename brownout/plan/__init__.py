"""Plans of trials as pure data: no module of this package opens a file or socket, starts a process or waits."""
