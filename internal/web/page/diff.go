package page

import (
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/source/git"
	"towpath.dev/towpath/internal/source/pull"
)

// How much of a difference one page draws; the rest is a click away.
const (
	drawnLines     = 4000 // of all files
	drawnFileLines = 800  // of one file, unless it was asked for alone
	openFiles      = 40   // files that are unfolded at first
)

// DiffFile is a file of a difference as it is drawn.
type DiffFile struct {
	git.FileDiff
	Index   int // in the whole difference
	Hunks   []DiffHunk
	Open    bool
	Cut     bool   // its lines are not drawn; Whole shows them
	Whole   string // address of the page with this file alone
	Beside  []Talk // threads and notes on lines that are not among those shown
	Talk    int    // how many threads and notes it has in all
	Comment string // begins the address of the form that comments on a line; "" for none
	Key     string // names what was viewed: changes with the content
}

// DiffHunk is a run of lines.
type DiffHunk struct {
	git.Hunk
	Rows []DiffLine
}

// DiffLine is a line with its colours and what is said about it.
type DiffLine struct {
	git.Line
	HTML string // escaped, with spans
	At   string // "3n12": file, side, line
	Talk []Talk
	Form bool // the form for a comment stands below it
}

// Talk is a thread or a check's note on a line; one of both is set.
type Talk struct {
	Thread *pull.Thread
	Note   *Annot
}

// Annot is a check's annotation.
type Annot struct {
	pull.Annotation
	Check string
}

// side is the word of an address for a side: "o" for old, "n" for new.
func side(s string) string {
	if s == pull.SideOld {
		return "o"
	}
	return "n"
}

// DiffOptions say what stands beside the lines.
type DiffOptions struct {
	Threads []pull.Thread
	Checks  []pull.Check // with their annotations
	At      string       // the line whose comment form is open: "3n12"
	Only    int          // the one file that is drawn whole, -1 for all
	Comment string       // begins the address of the comment form, "" when nobody may comment
	Whole   string       // begins the address of the page with one file alone, "" for none
	Prefix  string       // of the keys of viewed files
}

// place is a line of one side of a file.
type place struct {
	path, side string
	line       int
}

// DiffFiles prepares a difference for drawing.
func DiffFiles(d git.Diff, o DiffOptions) []DiffFile {
	talk := talkOf(o)
	drawn := 0
	var out []DiffFile
	for i, f := range d.Files {
		if o.Only >= 0 && i != o.Only {
			continue
		}
		file := DiffFile{FileDiff: f, Index: i, Open: i < openFiles || o.Only >= 0, Comment: o.Comment}
		if o.Whole != "" {
			file.Whole = o.Whole + strconv.Itoa(i)
		}
		file.Key = o.Prefix + "/" + f.New + "/" + strconv.Itoa(f.Additions) + "+" + strconv.Itoa(f.Deletions)
		lines := 0
		for _, h := range f.Hunks {
			lines += len(h.Lines)
		}
		file.Cut = o.Only < 0 && o.Whole != "" && (lines > drawnFileLines || drawn+lines > drawnLines)
		if !file.Cut {
			drawn += lines
			for _, h := range f.Hunks {
				file.Hunks = append(file.Hunks, file.hunk(h, talk, o.At))
			}
		}
		file.beside(talk)
		out = append(out, file)
	}
	return out
}

// talkOf sorts threads and annotations by the line that they belong to. What has no line
// of today is not among them.
func talkOf(o DiffOptions) map[place][]Talk {
	out := map[place][]Talk{}
	for i, t := range o.Threads {
		if t.Path == "" || t.Outdated {
			continue
		}
		p := place{t.Now.Path, side(t.Side), t.Now.Line}
		out[p] = append(out[p], Talk{Thread: &o.Threads[i]})
	}
	for _, c := range o.Checks {
		for _, a := range c.Annotations {
			p := place{a.Path, "n", max(a.StartLine, a.EndLine)}
			out[p] = append(out[p], Talk{Note: &Annot{a, c.Name}})
		}
	}
	return out
}

// hunk colours both sides and hangs what is said on the lines. What was hung is taken out
// of talk.
func (f *DiffFile) hunk(h git.Hunk, talk map[place][]Talk, at string) DiffHunk {
	var old, now []string
	for _, l := range h.Lines {
		if l.Kind != git.Plus {
			old = append(old, l.Text)
		}
		if l.Kind != git.Minus {
			now = append(now, l.Text)
		}
	}
	oldHTML, newHTML := colouredList(f.Old, old), colouredList(f.New, now)
	out := DiffHunk{Hunk: h}
	i, j := 0, 0
	for _, l := range h.Lines {
		row := DiffLine{Line: l}
		p := place{f.New, "n", l.New}
		if l.Kind == git.Minus {
			row.HTML, p = oldHTML[i], place{f.Old, "o", l.Old}
		} else {
			row.HTML = newHTML[j]
		}
		if l.Kind != git.Plus {
			i++
		}
		if l.Kind != git.Minus {
			j++
		}
		row.At = strconv.Itoa(f.Index) + p.side + strconv.Itoa(p.line)
		row.Talk, row.Form = talk[p], row.At == at && f.Comment != ""
		f.Talk += len(row.Talk)
		delete(talk, p)
		if l.Kind == git.Context { // A thread may hang on the old side of an unchanged line.
			p = place{f.Old, "o", l.Old}
			row.Talk = append(row.Talk, talk[p]...)
			f.Talk += len(talk[p])
			delete(talk, p)
		}
		out.Rows = append(out.Rows, row)
	}
	return out
}

// beside collects what hangs on lines of the file that are not drawn.
func (f *DiffFile) beside(talk map[place][]Talk) {
	for p, list := range talk {
		if p.path == f.New && p.side == "n" || p.path == f.Old && p.side == "o" {
			f.Beside = append(f.Beside, list...)
			f.Talk += len(list)
			delete(talk, p)
		}
	}
	sortTalk(f.Beside)
}

// colouredList colours lines that follow each other and returns as many.
func colouredList(name string, lines []string) []string {
	if len(lines) == 0 {
		return nil
	}
	out := coloured(name, strings.Join(lines, "\n"))
	if len(out) < len(lines) { // The lexer left out empty lines at the end.
		out = append(out, make([]string, len(lines)-len(out))...)
	}
	return out
}

// ParseAt takes "3n12" apart: the file's number, the side and the line.
func ParseAt(s string) (file int, sideWord string, line int, ok bool) {
	i := strings.IndexAny(s, "on")
	if i < 1 {
		return 0, "", 0, false
	}
	file, err1 := strconv.Atoi(s[:i])
	line, err2 := strconv.Atoi(s[i+1:])
	if err1 != nil || err2 != nil || file < 0 || line < 1 {
		return 0, "", 0, false
	}
	sideWord = pull.SideNew
	if s[i] == 'o' {
		sideWord = pull.SideOld
	}
	return file, sideWord, line, true
}

func talkPlace(t Talk) string {
	if t.Thread != nil {
		return threadPlace(*t.Thread)
	}
	if t.Note.StartLine == 0 {
		return t.Note.Path
	}
	return t.Note.Path + ":" + strconv.Itoa(t.Note.StartLine)
}

// pathOf is the path that a line of a file belongs to: of the side that it stands on.
func pathOf(f DiffFile, l DiffLine) string {
	if l.Kind == git.Minus {
		return f.Old
	}
	return f.New
}

func lineWord(l DiffLine) string {
	if l.Kind == git.Minus {
		return strconv.Itoa(l.Old) + " before"
	}
	return strconv.Itoa(l.New)
}

func orWord(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// threadHead is the line that names a thread when it is folded.
func threadHead(t pull.Thread) string {
	if len(t.Comments) == 0 {
		return threadPlace(t)
	}
	return Actor(t.Comments[0].Author) + " on line " + strconv.Itoa(t.Line)
}

func contextText(t pull.Thread) string { return strings.Join(t.Context, "\n") }
