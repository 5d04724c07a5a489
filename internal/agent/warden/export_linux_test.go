package warden

// NewMemory lets tests give another root of control groups.
var NewMemory = newMemory

// Starved is asked by tests.
func (m *memory) Starved() (bool, int64) { return m.starved() }
