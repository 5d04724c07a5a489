package supervise

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

const (
	// logLimit is the size at which a log file is moved aside as <file>.1; so one component keeps at most twice that.
	logLimit = 8 << 20
	// tailLimit is how much of the latest output is kept in memory to explain a death.
	tailLimit = 4 << 10
)

// Log is a log file that does not grow without bound. It is safe for concurrent use.
type Log struct {
	path  string
	limit int64

	mu   sync.Mutex
	file *os.File
	size int64
	tail []byte
}

// OpenLog opens path for appending; when it passes limit bytes it becomes <path>.1 and a new file is begun.
func OpenLog(path string, limit int64) (*Log, error) {
	log := &Log{path: path, limit: limit}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("making the folder of log %s: %w", path, err)
	}
	return log, log.open()
}

func (l *Log) open() error {
	file, err := os.OpenFile(l.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("opening log %s: %w", l.path, err)
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return fmt.Errorf("opening log %s: %w", l.path, err)
	}
	l.file, l.size = file, info.Size()
	return nil
}

// Write appends p. It always reports success: a full disk must not stop the program whose output this is, and the latest
// output stays readable by Tail.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tail = append(l.tail, p...)
	if len(l.tail) > tailLimit {
		l.tail = append([]byte(nil), l.tail[len(l.tail)-tailLimit:]...)
	}
	if l.size+int64(len(p)) > l.limit && l.size > 0 {
		l.rotate()
	}
	if l.file != nil {
		n, _ := l.file.Write(p)
		l.size += int64(n)
	}
	return len(p), nil
}

func (l *Log) rotate() {
	if l.file != nil {
		l.file.Close()
	}
	l.file, l.size = nil, 0
	if err := os.Rename(l.path, l.path+".1"); err != nil {
		return
	}
	_ = l.open() // without a file the output is dropped until the next start; the tail is still kept
}

// Tail returns the last whole lines written, at most n of them, the oldest first.
func (l *Log) Tail(n int) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := bytes.Split(bytes.TrimRight(l.tail, "\n"), []byte("\n"))
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	var tail []string
	for _, line := range lines {
		if len(line) > 0 {
			tail = append(tail, string(line))
		}
	}
	return tail
}

// Forget empties the tail, so that it tells only about what is written from now on.
func (l *Log) Forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tail = nil
}

// Close closes the file. Later writes only feed the tail.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return err
}
