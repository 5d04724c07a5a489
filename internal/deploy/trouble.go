package deploy

import (
	"strings"
	"sync"
)

// trouble names in one word why a pod cannot run, from the words of condition; "" when it
// only takes its time. What is one cause to an onlooker is one word: ErrImagePull and
// ImagePullBackOff take turns for as long as an image is missing.
func trouble(why string) string {
	word, _, _ := strings.Cut(why, ":")
	switch word {
	case "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull":
		return "image"
	case "CreateContainerConfigError", "CreateContainerError", "RunContainerError":
		return "start"
	case "cannot be scheduled":
		return "place"
	}
	switch {
	case strings.Contains(why, "OOMKilled"):
		return "memory"
	case strings.Contains(why, " crashed"):
		return "crash"
	}
	return ""
}

// restartStep returns the greatest of 0, 1, 2, 3, 5, 10, 20, 50, 100, … that a number of
// restarts has reached: a pod that restarts for a week is news now and then, not each time.
func restartStep(restarts int) int {
	if restarts <= 3 {
		return max(restarts, 0)
	}
	step := 3
	for decade := 1; decade <= restarts; decade *= 10 {
		for _, m := range []int{1, 2, 5} {
			if s := m * decade; s > step && s <= restarts {
				step = s
			}
		}
	}
	return step
}

// told remembers what was said of pods that are there, so that each trouble of a pod is
// said once for each step of its restarts. A restart of the server forgets it; then what is
// recorded of a pod keeps its newest trouble from being said again.
type told struct {
	mu sync.Mutex
	m  map[string]map[saying]bool // by uid of the pod
}

type saying struct {
	trouble  string
	restarts int // step
}

func newTold() *told { return &told{m: map[string]map[saying]bool{}} }

// sayingOf is what is to be said of a pod, none when it has no trouble.
func sayingOf(p Pod) saying {
	if p.Ready || p.Gone {
		return saying{}
	}
	return saying{trouble(p.Why), restartStep(p.Restarts)}
}

// has reports whether the trouble of a pod was said.
func (t *told) has(p Pod) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.m[p.UID][sayingOf(p)]
}

// keep notes that the trouble of a pod is said, and forgets one that is gone.
func (t *told) keep(p Pod) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p.Gone {
		delete(t.m, p.UID)
		return
	}
	of := sayingOf(p)
	if of.trouble == "" {
		return
	}
	if t.m[p.UID] == nil {
		t.m[p.UID] = map[saying]bool{}
	}
	t.m[p.UID][of] = true
}

// news reports whether the change of a pod is what an onlooker would call one: it came or
// went, became ready or unready, was restarted another step of times, or has a trouble that
// was not said.
func (t *told) news(known *Pod, now Pod) bool {
	if known == nil || known.Ready != now.Ready || known.Gone != now.Gone || restartStep(known.Restarts) != restartStep(now.Restarts) {
		return true
	}
	of := sayingOf(now)
	return of.trouble != "" && of != sayingOf(*known) && !t.has(now)
}
