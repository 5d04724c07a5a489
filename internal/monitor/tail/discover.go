package tail

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// sequence is one run of one container: its files, oldest first, read as if they were one.
type sequence struct {
	dir       string // "<namespace>_<pod>_<uid>/<container>"
	run       int
	pod       pod
	container string
	meta      string // KubernetesMetadata of a row that is shown whole

	files []*file
	join  [outputs]joiner
	// ticks is the time of the last line, for a line that has none of its own.
	ticks  int64
	queued bool      // it waits for its turn
	fed    time.Time // when a line was last taken
}

// joining reports whether lines wait for others.
func (s *sequence) joining() bool {
	for i := range s.join {
		if s.join[i].part.on || s.join[i].held.on {
			return true
		}
	}
	return false
}

// catalog knows the folders and files below the root.
type catalog struct {
	cfg   *Config
	watch watcher // nil when folders are only looked through
	blind bool    // some folder could not be watched

	pods map[string]map[string]bool // folder of a pod → its containers
	seqs map[string][]*sequence     // by "<pod's folder>/<container>"
	// known is what the checkpoint says of files that were not met yet, by the folder.
	known map[string][]record
	// resumed is the parcel of an earlier Tailer, until the server has it: the marks after
	// it are those of every file of the checkpoint, also of one that is met only now.
	resumed *batch
	files   int // open
}

func newCatalog(cfg *Config, past []record) *catalog {
	c := &catalog{cfg: cfg, pods: map[string]map[string]bool{}, seqs: map[string][]*sequence{}, known: map[string][]record{}}
	for _, r := range past {
		c.known[r.Dir] = append(c.known[r.Dir], r)
	}
	var err error
	if c.watch, err = newWatcher(cfg.Root); err != nil {
		cfg.Log.Warn("watching the logs by looking at the folders from time to time", "error", err)
	}
	return c
}

// changed is the watcher's channel, nil without one.
func (c *catalog) changed() <-chan string {
	if c.watch == nil {
		return nil
	}
	return c.watch.changed()
}

// every is how often everything is looked through.
func (c *catalog) every() time.Duration {
	if c.watch == nil || c.blind {
		return cmp.Or(c.cfg.Limits.Rescan, 500*time.Millisecond)
	}
	return cmp.Or(c.cfg.Limits.Rescan, 10*time.Second)
}

// add watches a folder. It does so before the folder is read, so that nothing that comes
// meanwhile is overlooked.
func (c *catalog) add(folder string) {
	if c.watch == nil {
		return
	}
	if err := c.watch.add(folder); err != nil && !errors.Is(err, fs.ErrNotExist) && !c.blind {
		c.blind = true
		c.cfg.Log.Warn("a folder of logs cannot be watched and is looked at from time to time; raise fs.inotify.max_user_watches", "error", err)
	}
}

// scan looks at a folder that has changed.
func (c *catalog) scan(folder string) {
	switch strings.Count(folder, "/") {
	case 0:
		if folder == "" || folder == overflow {
			c.scanRoot(folder == overflow)
		} else if _, ok := c.pods[folder]; ok {
			c.scanPod(folder, false)
		}
	case 1:
		pod, container, _ := strings.Cut(folder, "/")
		if c.pods[pod][container] {
			c.scanContainer(folder)
		}
	}
}

func (c *catalog) scanRoot(deep bool) {
	if deep {
		c.blind = false
		c.add("")
	}
	entries, err := os.ReadDir(c.cfg.Root)
	if err != nil {
		c.blind = true // it may come
		if !errors.Is(err, fs.ErrNotExist) {
			c.cfg.Log.Error("reading the folder of logs", "error", err)
		}
		return
	}
	there := map[string]bool{}
	for _, e := range entries {
		name := e.Name()
		p, ok := parsePod(name)
		if !ok || !e.IsDir() || slices.Contains(c.cfg.Exclude, p.namespace) || p.namespace+"/"+p.name == c.cfg.Self {
			continue
		}
		there[name] = true
		if c.pods[name] == nil {
			c.pods[name] = map[string]bool{}
		} else if !deep {
			continue
		}
		c.scanPod(name, deep)
	}
	for name := range c.pods {
		if !there[name] {
			c.leave(name)
		}
	}
	for dir := range c.known {
		if pod, _, _ := strings.Cut(dir, "/"); !there[pod] {
			delete(c.known, dir)
		}
	}
}

func (c *catalog) scanPod(folder string, deep bool) {
	c.add(folder)
	entries, err := os.ReadDir(filepath.Join(c.cfg.Root, folder))
	if errors.Is(err, fs.ErrNotExist) {
		c.leave(folder)
		return
	}
	if err != nil {
		c.cfg.Log.Error("reading the folder of a pod's logs", "error", err)
		return
	}
	containers := c.pods[folder]
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		if !containers[e.Name()] || deep {
			containers[e.Name()] = true
			c.add(folder + "/" + e.Name())
			c.scanContainer(folder + "/" + e.Name())
		}
	}
}

// leave forgets a pod whose folder is gone. Its files stay until they are read to the end.
func (c *catalog) leave(folder string) {
	for container := range c.pods[folder] {
		for _, s := range c.seqs[folder+"/"+container] {
			for _, f := range s.files {
				f.missed = absent
			}
		}
	}
	delete(c.pods, folder)
}

// absent is in how many listings a file must be missing before it counts as removed: one
// alone may have been made while the file got another name.
const absent = 2

func (c *catalog) scanContainer(dir string) {
	entries, err := os.ReadDir(filepath.Join(c.cfg.Root, dir))
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			pod, container, _ := strings.Cut(dir, "/")
			delete(c.pods[pod], container)
			entries = nil
		} else {
			c.cfg.Log.Error("reading the folder of a container's logs", "error", err)
			return
		}
	}
	type item struct {
		name string
		logName
	}
	var items []item
	for _, e := range entries {
		if n, ok := parseName(e.Name()); ok {
			items = append(items, item{e.Name(), n})
		}
	}
	// Oldest first: by the run, then by the time that rotation adds; the current file last.
	slices.SortFunc(items, func(a, b item) int {
		if a.run != b.run || (a.rotated == "") == (b.rotated == "") {
			return cmp.Or(cmp.Compare(a.run, b.run), strings.Compare(a.rotated, b.rotated), strings.Compare(a.name, b.name))
		}
		if a.rotated == "" {
			return 1
		}
		return -1
	})
	for _, s := range c.seqs[dir] {
		for _, f := range s.files {
			f.seen = false
		}
	}
	complete := true
	for _, i := range items {
		complete = c.meet(dir, i.name, i.logName) && complete
	}
	// A rename during the listing may have hidden a file that is there: only a folder that
	// stayed as it was tells what it has not.
	if again, err := os.ReadDir(filepath.Join(c.cfg.Root, dir)); !complete || err == nil && !sameNames(entries, again) {
		return
	}
	for _, s := range c.seqs[dir] {
		for _, f := range s.files {
			if f.missed++; f.seen {
				f.missed = 0
			}
		}
	}
	delete(c.known, dir)
}

func sameNames(a, b []os.DirEntry) bool {
	return slices.EqualFunc(a, b, func(x, y os.DirEntry) bool { return x.Name() == y.Name() })
}

// sequenceOf returns the sequence of a run, made when it is new.
func (c *catalog) sequenceOf(dir string, run int) *sequence {
	for _, s := range c.seqs[dir] {
		if s.run == run {
			return s
		}
	}
	folder, container, _ := strings.Cut(dir, "/")
	p, _ := parsePod(folder)
	s := &sequence{dir: dir, run: run, pod: p, container: container, meta: metadata(p.uid, 0)}
	for o := range s.join {
		s.join[o].out, s.join[o].gap = output(o), int64(c.cfg.Limits.Join/100)
	}
	c.seqs[dir] = append(c.seqs[dir], s)
	return s
}

// all ranges over the files.
func (c *catalog) all(yield func(*file) bool) {
	for _, list := range c.seqs {
		for _, s := range list {
			for _, f := range s.files {
				if !yield(f) {
					return
				}
			}
		}
	}
}

// records is what a checkpoint keeps. next gives the marks of the parcel that it holds.
func (c *catalog) records(next map[*file]marks) []record {
	var out []record
	for f := range c.all {
		if f.missed >= absent && f.done {
			continue
		}
		r := record{
			Dir: f.seq.dir, Run: f.seq.run, Name: f.name, Dev: f.id.dev, Ino: f.id.ino, Head: f.head.n, Sum: f.head.sum,
			Marks: f.acked, Next: f.acked, Done: f.done,
		}
		if m, ok := next[f]; ok {
			r.Next = m
		}
		r.Done = r.Done && r.Next.lowest() >= f.read
		out = append(out, r)
	}
	for _, list := range c.known {
		out = append(out, list...)
	}
	return out
}
