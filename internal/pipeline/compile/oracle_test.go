package compile_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"towpath.dev/towpath/internal/pipeline/compile"
	"towpath.dev/towpath/internal/pipeline/expand"
	"towpath.dev/towpath/internal/pipeline/parse"
	"towpath.dev/towpath/internal/pipeline/validate"
)

// officialValidator is the npm package of the service's own validator, pinned.
const officialValidator = "azure-pipelines-language-service@0.9.2"

var repositories = flag.String("repositories", "", "folders of repositories, separated by commas, whose pipelines are expanded and judged, too")

// TestOfficialValidatorAgrees compares our verdict with that of the official validator,
// for every fixture and for everything that our expander outputs. Where they may differ
// stands in testdata/oracle/exceptions.txt, with the reason.
func TestOfficialValidatorAgrees(t *testing.T) {
	texts := slices.Concat(fixtureTexts(t), goldenTexts(t), publishedTexts(t), keyTexts(t))
	for i := range texts {
		texts[i].judge()
	}
	answers := consult(t, texts)
	if answers == nil {
		return
	}
	known := readExceptions(t)
	for i, x := range texts {
		compareVerdicts(t, x, answers[i], known)
	}
	for _, e := range known {
		if e.used == 0 {
			t.Errorf("testdata/oracle/exceptions.txt: nothing needs the exception %q any more; remove it", e.text)
		}
	}
	t.Logf("%d texts were judged by both", len(texts))
}

// text is a pipeline without templates and expressions, as both judge it.
type text struct {
	name, content string
	// ours are our errors, each "RULE message".
	ours []string
}

// judge asks whether the text is a pipeline, without regard to what can run here. It is
// not expanded again.
func (x *text) judge() {
	root, found := parse.Parse(pipelineFile, []byte(x.content), parse.Limits{})
	if root != nil && !found.Failed() {
		found = validate.Validate(root, validate.Options{Features: validate.AllFeatures(), Question: validate.Correct})
	}
	for _, d := range found.Errors() {
		x.ours = append(x.ours, d.Rule+" "+d.Message)
	}
}

// plain matches files that the official validator can judge as they are: it knows
// nothing of templates and expressions.
func plain(content string) bool {
	return !strings.Contains(content, "${{") && !strings.Contains(content, "template:") && !regexp.MustCompile(`(?m)^(parameters|extends):`).MatchString(content)
}

// fixtureTexts are the fixtures that need no expansion, and what the expander makes of
// all that compile.
func fixtureTexts(t *testing.T) []text {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	var texts []text
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		c := newCase(archive)
		name := strings.TrimSuffix(filepath.Base(file), ".txtar")
		if content := string(c.files[pipelineFile]); plain(content) {
			texts = append(texts, text{name: name, content: content})
		}
		c.options.Question = validate.Expandable
		if expanded, found := compile.Expand(t.Context(), pipelineFile, c, c.options); !found.Failed() {
			texts = append(texts, text{name: name + " expanded", content: string(expanded)})
		}
	}
	return texts
}

// goldenTexts are the golden cases that need no expansion, and what the others become.
func goldenTexts(t *testing.T) []text {
	t.Helper()
	names, cases := goldenCases(t, "golden")
	var texts []text
	for _, name := range names {
		c, _ := goldenCase(t, cases[name])
		content := string(c.files[pipelineFile])
		if expanded, found := compile.Expand(t.Context(), pipelineFile, c, c.options); !found.Failed() {
			content = string(expanded)
		} else if !plain(content) {
			continue
		}
		texts = append(texts, text{name: name, content: content})
	}
	return texts
}

// publishedTexts are the fixtures of the service's own parser that stand alone.
func publishedTexts(t *testing.T) []text {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "published", "*.yml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no published fixtures: %v", err)
	}
	var texts []text
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if plain(string(data)) {
			texts = append(texts, text{name: filepath.Base(file), content: string(data)})
		}
	}
	return texts
}

// keyTexts are the right and the wrong use of every key.
func keyTexts(t *testing.T) []text {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "validate", "testdata", "keys.txt"))
	if err != nil {
		t.Fatal(err)
	}
	contexts := map[string]string{}
	var texts []text
	for line := range strings.Lines(string(data)) {
		parts := strings.Split(strings.TrimSpace(line), " | ")
		switch {
		case strings.HasPrefix(line, "@"):
			contexts[strings.TrimPrefix(parts[0], "@")] = strings.ReplaceAll(parts[1], `\n`, "\n")
		case len(parts) == 4 && !strings.HasPrefix(line, "#"):
			for i, use := range []string{" right", " wrong"} {
				texts = append(texts, text{name: parts[0] + use, content: strings.ReplaceAll(contexts[parts[1]], "{0}", parts[2+i])})
			}
		}
	}
	return texts
}

// exception is a class of findings in which the two may differ.
type exception struct {
	// side is "ours" for findings that only we have, "theirs" for the others.
	side    string
	pattern *regexp.Regexp
	text    string
	used    int
}

// readExceptions reads lines "ours|theirs PATTERN" that stand under a comment with the reason.
func readExceptions(t *testing.T) []*exception {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "oracle", "exceptions.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var all []*exception
	reason := false
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		switch {
		case line == "":
			reason = false
			continue
		case strings.HasPrefix(line, "#"):
			reason = true
			continue
		case !reason:
			t.Fatalf("the exception %q has no reason", line)
		}
		side, pattern, _ := strings.Cut(line, " ")
		if side != "ours" && side != "theirs" {
			t.Fatalf("the exception %q begins with neither ours nor theirs", line)
		}
		all = append(all, &exception{side: side, text: line, pattern: regexp.MustCompile(pattern)})
	}
	return all
}

// rest drops the findings that an exception explains.
func rest(findings []string, side string, known []*exception) []string {
	return slices.DeleteFunc(slices.Clone(findings), func(f string) bool {
		for _, e := range known {
			if e.side == side && e.pattern.MatchString(f) {
				e.used++
				return true
			}
		}
		return false
	})
}

// compareVerdicts complains when one of the two has findings, and the other has none at
// all, unless exceptions explain each of them.
func compareVerdicts(t *testing.T, x text, theirs []string, known []*exception) {
	t.Helper()
	switch {
	case len(theirs) > 0 && len(x.ours) == 0:
		if unexplained := rest(theirs, "theirs", known); len(unexplained) > 0 {
			t.Errorf("%s: only the official validator rejects it: %s", x.name, strings.Join(unexplained, "; "))
		}
	case len(theirs) == 0 && len(x.ours) > 0:
		if unexplained := rest(x.ours, "ours", known); len(unexplained) > 0 {
			t.Errorf("%s: only we reject it: %s", x.name, strings.Join(unexplained, "; "))
		}
	}
}

// consult asks the official validator; without Node it says so and returns nil.
func consult(t *testing.T, texts []text) [][]string {
	t.Helper()
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Logf("NOT RUN: %s is not here, so the official validator cannot be asked", program)
			return nil
		}
	}
	dir := installOracle(t)
	schema := filepath.Join(t.TempDir(), "schema.json")
	if err := os.WriteFile(schema, unzipped(t, filepath.Join("testdata", "oracle", "service-schema.json.gz")), 0o600); err != nil {
		t.Fatal(err)
	}
	var in, out, complaints bytes.Buffer
	enc := json.NewEncoder(&in)
	for _, x := range texts {
		if err := enc.Encode(map[string]string{"name": x.name, "text": strings.TrimPrefix(x.content, "\ufeff")}); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("node", filepath.Join("testdata", "oracle", "oracle.js"), dir, schema)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = &in, &out, &complaints
	if err := cmd.Run(); err != nil {
		t.Fatalf("asking the official validator: %v: %s", err, complaints.String())
	}
	var answers [][]string
	lines := bufio.NewScanner(&out)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var a struct {
			Name     string
			Problems []string
		}
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
			t.Fatal(err)
		}
		answers = append(answers, a.Problems)
	}
	if len(answers) != len(texts) {
		t.Fatalf("the official validator gave %d answers to %d texts: %s", len(answers), len(texts), complaints.String())
	}
	return answers
}

func unzipped(t *testing.T, file string) []byte {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// installOracle brings the npm package into the user's cache and returns the folder.
func installOracle(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	dir := filepath.Join(cache, "towpath", "oracle", strings.ReplaceAll(officialValidator, "@", "-"))
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "azure-pipelines-language-service", "lib", "index.js")); err == nil {
		return dir
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("npm", "install", "--no-audit", "--no-fund", "--no-save", "--ignore-scripts", "--prefix", dir, officialValidator)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("installing %s: %v: %s", officialValidator, err, out)
	}
	return dir
}

// TestRepositories expands the pipelines of other people's repositories, whose folders
// the flag -repositories names, and has the result judged:
//
//	go test ./internal/pipeline/compile -run TestRepositories -v -args -repositories DIR,DIR
//
// It prints a line for each pipeline with its time, and what was found. Without the flag
// there is nothing to do.
func TestRepositories(t *testing.T) {
	if *repositories == "" {
		return
	}
	var texts []text
	for root := range strings.SplitSeq(*repositories, ",") {
		for _, file := range rootPipelines(t, root) {
			begin := time.Now()
			expanded, found := compile.Expand(t.Context(), file, diskLoader(root), compile.Options{
				Features: validate.AllFeatures(), Question: validate.Expandable,
				Variables: map[string]string{"Build.Reason": "Manual", "Build.SourceBranch": "refs/heads/main", "Build.SourceBranchName": "main"},
			})
			name := filepath.Base(root) + "/" + file
			fmt.Printf("%-8s %s %d ms, %d bytes\n", map[bool]string{true: "error", false: "expanded"}[found.Failed()], name, time.Since(begin).Milliseconds(), len(expanded))
			for _, d := range found.Errors() {
				fmt.Println("    ", d)
			}
			if !found.Failed() {
				texts = append(texts, text{name: name, content: string(expanded)})
			}
		}
	}
	answers := consult(t, texts)
	known := readExceptions(t)
	for i, theirs := range answers {
		if unexplained := rest(theirs, "theirs", known); len(unexplained) > 0 {
			fmt.Println("rejected by the official validator:", texts[i].name)
			for _, p := range unexplained {
				fmt.Println("    ", p)
			}
		}
	}
}

// rootPipelines finds the files that are pipelines and no templates.
func rootPipelines(t *testing.T, root string) []string {
	t.Helper()
	var files []string
	starts := regexp.MustCompile(`(?m)^(trigger|pr|schedules|extends|resources|pool|name)\s*:`)
	bodies := regexp.MustCompile(`(?m)^(stages|jobs|steps|extends)\s*:`)
	other := regexp.MustCompile(`(?m)^(apiVersion|on|runs)\s*:`)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".yml") && !strings.HasSuffix(path, ".yaml") {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if starts.Match(data) && bodies.Match(data) && !other.Match(data) {
			rel, err := filepath.Rel(root, path)
			files = append(files, filepath.ToSlash(rel))
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// diskLoader serves a folder, and for the repository with the alias A the folder @A beside
// it. "{{ name }}", the placeholder of quick-start templates, becomes text.
func diskLoader(root string) expand.Loader {
	placeholder := regexp.MustCompile(`([^$])\{\{ *[A-Za-z#/][^}]*\}\}`)
	return expand.LoaderFunc(func(_ context.Context, ref expand.Ref) ([]byte, error) {
		folder := root
		if ref.Repository != nil {
			folder = filepath.Join(filepath.Dir(root), "@"+ref.Repository.Alias)
		}
		data, err := os.ReadFile(filepath.Join(folder, filepath.FromSlash(ref.Path)))
		return placeholder.ReplaceAll(data, []byte("${1}placeholder")), err
	})
}
