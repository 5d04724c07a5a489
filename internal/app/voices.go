package app

import "sync"

// voices are the logs of the runs that are deploying right now: what the cluster refuses
// because of a run is said in its log while it waits.
type voices struct {
	mu  sync.Mutex
	of  map[int64]map[int]func(line string)
	nth int
}

func newVoices() *voices { return &voices{of: map[int64]map[int]func(string){}} }

// lend gives a run a voice until the returned function is called.
func (v *voices) lend(run int64, say func(line string)) (back func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.nth++
	n := v.nth
	if v.of[run] == nil {
		v.of[run] = map[int]func(string){}
	}
	v.of[run][n] = say
	return func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		delete(v.of[run], n)
		if len(v.of[run]) == 0 {
			delete(v.of, run)
		}
	}
}

// say writes a line into the logs of a run's deployments; nobody hears it when there are
// none.
func (v *voices) say(run int64, line string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, say := range v.of[run] {
		say(line)
	}
}
