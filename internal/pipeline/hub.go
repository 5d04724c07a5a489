package pipeline

import "sync"

// hub wakes those who wait for something named to change.
type hub struct {
	mu      sync.Mutex
	waiting map[string]chan struct{}
}

// changed returns a channel that is closed at the next signal of the name.
func (h *hub) changed(name string) <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.waiting == nil {
		h.waiting = map[string]chan struct{}{}
	}
	c := h.waiting[name]
	if c == nil {
		c = make(chan struct{})
		h.waiting[name] = c
	}
	return c
}

func (h *hub) signal(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c := h.waiting[name]; c != nil {
		close(c)
		delete(h.waiting, name)
	}
}

// onQueue is the name under which agents wait for jobs.
const onQueue = "queue"
