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

// meet sees a file in a listing: one that is known under this or another name, or a new
// one, which is opened. It returns false when the file has to be met again.
func (c *catalog) meet(dir, name string, n logName) bool {
	path := filepath.Join(c.cfg.Root, dir, name)
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() {
		return err == nil || errors.Is(err, fs.ErrNotExist)
	}
	s, id := c.sequenceOf(dir, n.run), identityOf(info)
	for _, f := range s.files {
		if (f.id == id || f.zip == id) && (f.seen || f.src != nil || f.zip == id || c.same(f, path, info)) {
			f.seen = true
			if f.id == id {
				f.name = name
			}
			return true
		}
	}
	if c.files >= c.cfg.Limits.Open && !c.closeIdle() {
		if !c.blind {
			c.blind = true // look again soon
			c.cfg.Log.Warn("too many log files are open; this one is read later", "file", path, "open", c.files)
		}
		return false
	}
	src, id, err := open(path, n.gz)
	if err == nil {
		err = c.take(s, name, n, src, id)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.cfg.Log.Error("opening a log file", "error", err)
		return false
	}
	return true
}

// same reports whether what lies at path now is the closed file f, and opens it again when
// it has grown. An inode that was used again is told by the first bytes.
func (c *catalog) same(f *file, path string, info os.FileInfo) bool {
	unchanged := info.Size() == f.read
	if unchanged && info.ModTime().Equal(f.wrote) {
		return true
	}
	src, id, err := open(path, false)
	if err != nil {
		return true // it is gone again; the next listing will tell
	}
	if id != f.id || !f.head.is(src) {
		_ = src.Close()
		return false
	}
	if unchanged {
		f.wrote = info.ModTime()
		_ = src.Close()
		return true
	}
	f.src, f.done, f.size = src, false, info.Size()
	c.files++
	return true
}

// take puts an opened file into its sequence.
func (c *catalog) take(s *sequence, name string, n logName, src source, id identity) error {
	head, err := fingerprintOf(src, probe)
	if err != nil {
		return errors.Join(err, src.Close())
	}
	for _, f := range s.files {
		if (n.gz || f.zip == f.id) && f.head.n >= distinct && f.head.is(src) { // a file that we have, compressed or not yet
			f.seen = true
			if n.gz {
				f.zip = id
			}
			return src.Close()
		}
	}
	f := &file{seq: s, name: name, id: id, head: head, src: src, seen: true, idle: -1, grown: c.cfg.Now()}
	if n.gz {
		f.zip = id
	}
	if f.size, _, err = src.look(); err != nil {
		return errors.Join(err, src.Close())
	}
	if r, ok := c.recall(s, id, src); ok {
		f.acked, f.sealed, f.skip, f.read = r.Marks, r.Next, r.Next, r.Next.lowest()
		f.done = r.Done && (n.gz || f.size <= f.read)
		if c.resumed != nil {
			c.resumed.marks[f] = r.Next
		}
	}
	at := len(s.files)
	if last := at - 1; n.rotated != "" && last >= 0 && s.files[last].seen && !strings.Contains(s.files[last].name, ".log.") {
		at = last // an older one that comes late stands before the current file
	}
	s.files = slices.Insert(s.files, at, f)
	if f.done {
		f.src = nil
		return src.Close()
	}
	c.files++
	return nil
}

// recall finds what the checkpoint says of a file: by its inode, or, for one that was
// compressed or whose device has another number now, by its first bytes.
func (c *catalog) recall(s *sequence, id identity, src source) (record, bool) {
	list := c.known[s.dir]
	for _, byInode := range []bool{true, false} {
		for i, r := range list {
			head := fingerprint{r.Head, r.Sum}
			if r.Run != s.run || byInode != (identity{r.Dev, r.Ino} == id) || !byInode && r.Head < distinct || !head.is(src) {
				continue
			}
			c.known[s.dir] = slices.Delete(slices.Clone(list), i, i+1)
			return r, true
		}
	}
	return record{}, false
}

// closeIdle closes the file that has not grown for the longest time, of those that are
// there and read to the end.
func (c *catalog) closeIdle() bool {
	var oldest *file
	for f := range c.all {
		if f.src == nil || f.gone || f.done || f.read < f.size || f.id == f.zip {
			continue
		}
		if oldest == nil || f.grown.Before(oldest.grown) {
			oldest = f
		}
	}
	if oldest == nil {
		return false
	}
	c.shut(oldest)
	return true
}

// shut closes a file.
func (c *catalog) shut(f *file) {
	if f.src == nil {
		return
	}
	if err := f.src.Close(); err != nil {
		c.cfg.Log.Warn("closing a log file", "error", err)
	}
	f.src = nil
	c.files--
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
