package cart

import (
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"shop/internal/rest"
)

// Option changes what Handler serves. The options here are regressions of reading a cart (GET /v1/carts/{id}) that a canary is to
// find; each does nothing at its zero value. The tests of the shop do not see them, as those of real regressions would not.
type Option func(*server)

// Broken makes a share of the requests fail, from 0 to 1.
func Broken(share float64) Option {
	return before(share > 0, func() error {
		if rand.Float64() < share {
			return rest.Errorf(http.StatusInternalServerError, "the cart lost its lines")
		}
		return nil
	})
}

// Slow answers so much later.
func Slow(by time.Duration) Option {
	return before(by > 0, func() error { time.Sleep(by); return nil })
}

// Leaking keeps so many bytes of each request for ever, until the container's memory is used up.
func Leaking(bytes int) Option {
	var mu sync.Mutex
	var kept [][]byte
	return before(bytes > 0, func() error {
		lost := make([]byte, bytes)
		for i := range lost {
			lost[i] = byte(i) // Untouched pages would cost nothing.
		}
		mu.Lock()
		defer mu.Unlock()
		kept = append(kept, lost)
		return nil
	})
}

// Panicking ends the process with a panic when it has had so many requests.
func Panicking(at int64) Option {
	var reads atomic.Int64
	return before(at > 0, func() error {
		if reads.Add(1) >= at {
			go func() { panic("the cart's lines are nil") }() // In a goroutine of its own, where nothing recovers.
			select {}
		}
		return nil
	})
}

// before does something before a cart is read, after what was asked for earlier.
func before(on bool, do func() error) Option {
	return func(s *server) {
		if !on {
			return
		}
		first := s.read
		s.read = func() error {
			if err := first(); err != nil {
				return err
			}
			return do()
		}
	}
}
