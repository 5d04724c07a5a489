package pool_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"towpath.dev/towpath/internal/pipeline/pool"
)

// demandLists are what the jobs of these tests ask for.
var demandLists = []string{"", "docker", "gpu", "docker\ngpu", "java -gtVersion 17", "Agent.OS -equals Linux\ndocker", "nobody"}

// naive is the queue as it is meant: a list in which one looks from the oldest on.
type naive []pool.Waiting

func older(a, b pool.Waiting) int {
	switch {
	case a.Queued != b.Queued:
		return int(a.Queued - b.Queued)
	case a.Position != b.Position:
		return a.Position - b.Position
	}
	return strings.Compare(a.ID, b.ID)
}

func (n *naive) take(from pool.Place, has pool.Capabilities) (pool.Waiting, bool) {
	slices.SortFunc(*n, older)
	for i, w := range *n {
		if w.Place == from && len(has.Lacks(pool.FromText(w.Demands))) == 0 {
			*n = slices.Delete(*n, i, i+1)
			return w, true
		}
	}
	return pool.Waiting{}, false
}

func (n *naive) drop(id string) {
	*n = slices.DeleteFunc(*n, func(w pool.Waiting) bool { return w.ID == id })
}

func someJob(r *rand.Rand, i int) pool.Waiting {
	w := pool.Waiting{ID: fmt.Sprintf("job%06d", i), Place: pool.Place{Pool: []string{"default", "linux"}[r.IntN(2)]}, Demands: demandLists[r.IntN(len(demandLists))], Queued: int64(r.IntN(20)), Position: r.IntN(3)}
	if r.IntN(8) == 0 {
		w.Place = pool.Place{Machine: "m"}
	}
	return w
}

func someAgent(r *rand.Rand) (pool.Place, pool.Capabilities) {
	if r.IntN(8) == 0 {
		return pool.Place{Machine: "m"}, pool.Capabilities{"docker": "1", "GPU": "1", "Java": "21", "agent.os": "linux", "nobody": "1"}
	}
	has := pool.Capabilities{}
	for name, v := range map[string]string{"Docker": "/bin/docker", "GPU": "a100", "java": []string{"11", "21.0.1"}[r.IntN(2)], "agent.os": []string{"linux", "Windows"}[r.IntN(2)]} {
		if r.IntN(3) > 0 {
			has[name] = v
		}
	}
	return pool.Place{Pool: []string{"default", "linux"}[r.IntN(2)]}, has
}

// TestBacklogIsTheNaiveQueueJ011 plays random jobs, agents, failures and rows that went away
// against a list that is searched from its beginning: every decision is the same.
func TestBacklogIsTheNaiveQueueJ011(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 7))
		var b pool.Backlog
		var model naive
		taken := map[string]pool.Waiting{}
		for i := range 1500 {
			switch r.IntN(9) {
			case 0, 1, 2, 3:
				w := someJob(r, i)
				b.Put(w)
				model = append(model, w)
			case 4, 5:
				from, has := someAgent(r)
				got, ok := b.Take(from, has)
				want, there := model.take(from, has)
				if ok != there || got != want {
					t.Fatalf("seed %d, step %d: an agent of %v with %v got %+v, want %+v", seed, i, from, has, got, want)
				}
				if ok {
					taken[got.ID] = got
				}
			case 6: // The transaction of a claim succeeds or fails.
				for id, w := range taken {
					if r.IntN(2) == 0 {
						b.Drop(id)
					} else {
						b.PutBack(id)
						model = append(model, w)
					}
					delete(taken, id)
				}
			case 7: // A run is cancelled, and nobody says so.
				if len(model) > 0 {
					model.drop(model[r.IntN(len(model))].ID)
				}
				reconcile(&b, model, taken)
			case 8: // A row comes into the queue, and nobody says so.
				model = append(model, someJob(r, i))
				reconcile(&b, model, taken)
			}
			if n, _ := b.Len(); n != len(model)+len(taken) {
				t.Fatalf("seed %d, step %d: %d jobs, want %d", seed, i, n, len(model)+len(taken))
			}
		}
	}
}

// reconcile gives the backlog the rows: a job that was taken has its row until the claim is
// written.
func reconcile(b *pool.Backlog, model naive, taken map[string]pool.Waiting) {
	_, mark := b.Len()
	rows := slices.Clone(model)
	for _, w := range taken {
		rows = append(rows, w)
	}
	b.Reconcile(mark, rows)
}

// TestReconcileKeepsWhatCameMeanwhile makes sure that rows which were read before a job came
// do not take it away again, and that those which show a taken job do not give it twice.
func TestReconcileKeepsWhatCameMeanwhile(t *testing.T) {
	var b pool.Backlog
	here := pool.Place{Pool: "default"}
	b.Put(pool.Waiting{ID: "a", Place: here})
	_, mark := b.Len()
	if w, ok := b.Take(here, nil); !ok || w.ID != "a" {
		t.Fatal("a was not given")
	}
	b.Put(pool.Waiting{ID: "b", Place: here})
	b.Reconcile(mark, []pool.Waiting{{ID: "a", Place: here}})
	if w, ok := b.Take(here, nil); !ok || w.ID != "b" {
		t.Errorf("got %+v, want b", w)
	}
	if w, ok := b.Take(here, nil); ok {
		t.Errorf("%s was given twice", w.ID)
	}
}

// TestBacklogByManyAtOnce has many agents take jobs at once: each goes to exactly one of them,
// what an agent gets comes in the order of the queue, and what nobody can have stays. When
// claims fail, the jobs come back and go to somebody else.
func TestBacklogByManyAtOnce(t *testing.T) {
	for _, fails := range []bool{false, true} {
		t.Run(fmt.Sprintf("fails=%t", fails), func(t *testing.T) { manyAtOnce(t, fails) })
	}
}

func manyAtOnce(t *testing.T, fails bool) {
	const jobs, agents = 4000, 8
	var b pool.Backlog
	here := pool.Place{Pool: "default"}
	for i := range jobs {
		b.Put(pool.Waiting{ID: fmt.Sprint(i), Place: here, Demands: []string{"", "docker", "nobody"}[i%3], Queued: int64(i)})
	}
	got := make([][]pool.Waiting, agents+1)
	work := func(i int, has pool.Capabilities, fails bool) {
		for n := 0; ; n++ {
			w, ok := b.Take(here, has)
			if !ok {
				return
			}
			if fails && n%5 == 3 {
				b.PutBack(w.ID)
				continue
			}
			got[i] = append(got[i], w)
			b.Drop(w.ID)
		}
	}
	var wg sync.WaitGroup
	for i := range agents {
		has := pool.Capabilities{}
		if i%2 == 0 {
			has["docker"] = "1"
		}
		wg.Go(func() { work(i, has, fails) })
	}
	wg.Wait()
	// Who found nothing while another held the last job went away; it is still there.
	work(agents, pool.Capabilities{"docker": "1"}, false)
	seen := map[string]bool{}
	for i, list := range got {
		if !fails && !slices.IsSortedFunc(list, older) {
			t.Errorf("agent %d got its jobs in another order than that of the queue", i)
		}
		for _, w := range list {
			if seen[w.ID] || w.Demands == "nobody" || w.Demands == "docker" && i%2 != 0 {
				t.Errorf("agent %d got %+v", i, w)
			}
			seen[w.ID] = true
		}
	}
	if n, _ := b.Len(); n != jobs/3 || len(seen) != jobs-jobs/3 {
		t.Errorf("%d jobs were given and %d are left", len(seen), n)
	}
}

// BenchmarkBacklog measures one decision, by how many jobs wait and how many different lists of
// demands they have.
func BenchmarkBacklog(b *testing.B) {
	for _, size := range []int{100, 10_000} {
		for _, lists := range []int{4, 100} {
			b.Run(fmt.Sprintf("jobs=%d/demands=%d", size, lists), func(b *testing.B) {
				var log pool.Backlog
				here := pool.Place{Pool: "default"}
				for i := range size {
					log.Put(pool.Waiting{ID: fmt.Sprint(i), Place: here, Demands: fmt.Sprintf("docker\ntool%d", i%lists), Queued: int64(i)})
				}
				has := pool.Capabilities{"docker": "1", "tool3": "1"}
				for b.Loop() {
					w, ok := log.Take(here, has)
					if !ok {
						b.Fatal("there was no job")
					}
					log.PutBack(w.ID)
				}
			})
		}
	}
}
