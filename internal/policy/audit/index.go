package audit

import (
	"strconv"
	"sync"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// entry is all that is kept in memory of an object that lives.
type entry struct {
	kind *schema.GroupKind // shared by all objects of the kind
	done uint64            // resource version whose verdicts are stored; 0 for none yet
}

// index knows which objects live.
type index struct {
	mu   sync.Mutex
	live map[types.UID]entry
}

func newIndex() *index { return &index{live: map[types.UID]entry{}} }

func (i *index) len() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.live)
}

// add notes that an object lives.
func (i *index) add(kind *schema.GroupKind, uid types.UID) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if _, ok := i.live[uid]; !ok {
		i.live[uid] = entry{kind: kind}
	}
}

// remove notes that an object is gone.
func (i *index) remove(uid types.UID) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.live, uid)
}

// stored notes that the verdicts of a version are stored.
func (i *index) stored(uid types.UID, version uint64) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if e, ok := i.live[uid]; ok {
		e.done = version
		i.live[uid] = e
	}
}

// get returns the version whose verdicts are stored; false for an object that does not live.
func (i *index) get(uid types.UID) (uint64, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	e, ok := i.live[uid]
	return e.done, ok
}

// of returns the objects of a kind.
func (i *index) of(kind schema.GroupKind) []types.UID {
	i.mu.Lock()
	defer i.mu.Unlock()
	var out []types.UID
	for uid, e := range i.live {
		if *e.kind == kind {
			out = append(out, uid)
		}
	}
	return out
}

// version reads a resource version, which is a number that grows.
func version(s string) uint64 {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0
	}
	return n
}
