package main

import (
	"fmt"
	"net/http"
	"os"
	"sync"
)

// holding keeps requests open until they are let go together, so that a test sees how many
// are open at once.
type holding struct {
	mu   sync.Mutex
	held int
	gate chan struct{}
}

func (h *holding) serve(mux *http.ServeMux) {
	h.gate = make(chan struct{})
	mux.HandleFunc("/hold", func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		gate := h.gate
		h.held++
		h.mu.Unlock()
		select {
		case <-gate:
		case <-r.Context().Done():
		}
		h.mu.Lock()
		h.held--
		h.mu.Unlock()
		fmt.Fprintf(w, "%s held\n", os.Getenv("BUILD_ID"))
	})
	mux.HandleFunc("/held", func(w http.ResponseWriter, _ *http.Request) {
		h.mu.Lock()
		defer h.mu.Unlock()
		fmt.Fprintln(w, h.held)
	})
	mux.HandleFunc("/let-go", func(http.ResponseWriter, *http.Request) {
		h.mu.Lock()
		defer h.mu.Unlock()
		close(h.gate)
		h.gate = make(chan struct{})
	})
}
