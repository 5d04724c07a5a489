package oracle

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Text is a query with a name that stays the same: "bin-function.md#2".
type Text struct {
	Name  string `json:"name"`
	Query string `json:"query"`
	// Output is the result that the documentation prints, a table in pipes, "" when none.
	Output string `json:"output,omitempty"`
}

// The corpora of others, by file name in the cache folder.
const (
	Docs      = "docs.jsonl"
	Community = "community.jsonl"
)

// Cache returns the folder in which corpora and the npm package are kept between runs:
// $TOWPATH_KQL_CACHE, or towpath/kql in the user's cache folder.
func Cache() (string, error) {
	if dir := os.Getenv("TOWPATH_KQL_CACHE"); dir != "" {
		return dir, nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding the cache folder: %w", err)
	}
	return filepath.Join(dir, "towpath", "kql"), nil
}

// Load returns a corpus of the cache, nil without an error when it was never extracted.
func Load(corpus string) ([]Text, error) {
	dir, err := Cache()
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(filepath.Join(dir, corpus))
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the corpus %s: %w", corpus, err)
	}
	var out []Text
	dec := json.NewDecoder(strings.NewReader(string(data)))
	for dec.More() {
		var t Text
		if err := dec.Decode(&t); err != nil {
			return nil, fmt.Errorf("reading the corpus %s: %w", corpus, err)
		}
		out = append(out, t)
	}
	return out, nil
}

// Extract reads the corpus that a git checkout (or bare repository) holds, and says which.
func Extract(repo string) (corpus string, texts []Text, err error) {
	list, err := git(repo, "ls-tree", "-r", "-z", "--name-only", "HEAD")
	if err != nil {
		return "", nil, err
	}
	for _, path := range strings.Split(list, "\x00") {
		switch {
		case strings.HasSuffix(path, ".kql"):
			body, err := git(repo, "show", "HEAD:"+path)
			if err != nil {
				return "", nil, err
			}
			corpus = Community
			body = strings.TrimPrefix(body, "\ufeff")
			texts = append(texts, Text{Name: path, Query: body})
		case strings.HasPrefix(path, "data-explorer/kusto/query/") && strings.HasSuffix(path, ".md"):
			body, err := git(repo, "show", "HEAD:"+path)
			if err != nil {
				return "", nil, err
			}
			corpus = Docs
			texts = append(texts, blocks(filepath.Base(path), body)...)
		}
	}
	return corpus, texts, nil
}

// Save writes a corpus into the cache.
func Save(corpus string, texts []Text) error {
	dir, err := Cache()
	if err != nil {
		return err
	}
	var b strings.Builder
	enc := json.NewEncoder(&b)
	for _, t := range texts {
		if err := enc.Encode(t); err != nil {
			return fmt.Errorf("writing the corpus %s: %w", corpus, err)
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("writing the corpus %s: %w", corpus, err)
	}
	return os.WriteFile(filepath.Join(dir, corpus), []byte(b.String()), 0o644)
}

func git(repo string, args ...string) (string, error) {
	cmd := exec.Command("git", append([]string{"-C", repo}, args...)...)
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("asking git for %s: %w", strings.Join(args, " "), err)
	}
	return string(out), nil
}

// blocks takes the code blocks marked kusto out of a page, each with the table that follows
// under the word Output. No other words of the page are taken.
func blocks(page, body string) []Text {
	var out []Text
	var block []string
	inside, other := false, false
	output := 0 // 0: none seen, 1: the word Output, 2: in its table
	sc := bufio.NewScanner(strings.NewReader(body))
	sc.Buffer(nil, 4<<20)
	for sc.Scan() {
		line := sc.Text()
		trimmed := strings.TrimLeft(line, " >")
		fence := strings.HasPrefix(trimmed, "```")
		switch {
		case inside && fence:
			out = append(out, Text{Name: fmt.Sprintf("%s#%d", page, len(out)+1), Query: strings.Join(block, "\n")})
			inside, output = false, 0
		case inside:
			block = append(block, line)
		case fence && !other && strings.HasPrefix(strings.ToLower(trimmed), "```kusto"):
			inside, block = true, nil
		case fence:
			other = !other
		case strings.HasPrefix(trimmed, "**Output"):
			output = 1
		case output > 0 && strings.HasPrefix(trimmed, "|") && len(out) > 0:
			output = 2
			out[len(out)-1].Output += trimmed + "\n"
		case output == 2, strings.HasPrefix(trimmed, "#"):
			output = 0
		}
	}
	return out
}
