package session

// AllowLoopback lets a test's session reach the test's own servers.
func (s *Session) AllowLoopback() { s.guard.loopback = true }
