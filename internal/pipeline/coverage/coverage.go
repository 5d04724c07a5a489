// Package coverage owns the reading of code coverage files: Cobertura and JaCoCo, told
// apart by their content. What it yields are totals of lines and branches.
//
// Input is foreign: its depth is bounded, entities and other documents are never resolved,
// and a file that cannot be read is an error, never a coverage of nothing. The totals are
// counted from the lines of the file where it has them, whatever its summary claims.
//
// It imports the standard library alone.
package coverage

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// MaxDepth is how deep elements may be nested.
const MaxDepth = 64

// The formats.
const (
	Cobertura = "Cobertura"
	JaCoCo    = "JaCoCo"
)

// Total is what a file says.
type Total struct {
	Format          string
	Lines           int64
	LinesCovered    int64
	Branches        int64
	BranchesCovered int64
}

// Parse reads a coverage file.
func Parse(r io.Reader) (Total, error) {
	dec := xml.NewDecoder(r)
	dec.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil }
	p := &parser{}
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return p.done()
		}
		if err != nil {
			return Total{}, fmt.Errorf("reading XML: %w", err)
		}
		switch t := token.(type) {
		case xml.StartElement:
			p.open = append(p.open, t.Name.Local)
			if len(p.open) > MaxDepth {
				return Total{}, fmt.Errorf("elements are nested more than %d deep", MaxDepth)
			}
			if err := p.start(t); err != nil {
				return Total{}, err
			}
		case xml.EndElement:
			p.open = p.open[:len(p.open)-1]
		}
	}
}

type parser struct {
	open    []string // names of the open elements
	total   Total
	claimed Total // what the root of a Cobertura file says
	lines   bool  // the file has lines of its own
}

func (p *parser) start(t xml.StartElement) error {
	if len(p.open) == 1 {
		switch t.Name.Local {
		case "coverage":
			p.total.Format = Cobertura
			p.claimed = Total{
				Lines: number(t, "lines-valid"), LinesCovered: number(t, "lines-covered"),
				Branches: number(t, "branches-valid"), BranchesCovered: number(t, "branches-covered"),
			}
			if attribute(t, "generated") != "" && attribute(t, "lines-valid") == "" && attribute(t, "line-rate") == "" {
				return errors.New("it is a Clover file; only Cobertura and JaCoCo are read")
			}
		case "report":
			p.total.Format = JaCoCo
		default:
			return fmt.Errorf("it begins with <%.40s>; Cobertura begins with <coverage>, JaCoCo with <report>", t.Name.Local)
		}
		return nil
	}
	if p.total.Format == JaCoCo {
		// Counters stand at every level; those of the report itself are the sum.
		if len(p.open) == 2 && t.Name.Local == "counter" {
			p.counter(t)
		}
		return nil
	}
	// The lines of a class stand in <class><lines>; those in <methods> repeat them.
	if t.Name.Local == "line" && len(p.open) >= 3 && p.open[len(p.open)-3] == "class" {
		p.line(t)
	}
	return nil
}

// counter adds a counter of JaCoCo.
func (p *parser) counter(t xml.StartElement) {
	missed, covered := number(t, "missed"), number(t, "covered")
	switch attribute(t, "type") {
	case "LINE":
		p.total.Lines, p.total.LinesCovered = missed+covered, covered
	case "BRANCH":
		p.total.Branches, p.total.BranchesCovered = missed+covered, covered
	}
}

// line adds a line of Cobertura; its condition-coverage reads "50% (1/2)".
func (p *parser) line(t xml.StartElement) {
	p.lines = true
	p.total.Lines++
	if number(t, "hits") > 0 {
		p.total.LinesCovered++
	}
	_, counts, ok := strings.Cut(attribute(t, "condition-coverage"), "(")
	if !ok {
		return
	}
	covered, all, ok := strings.Cut(strings.TrimSuffix(counts, ")"), "/")
	if !ok {
		return
	}
	c, err1 := strconv.ParseUint(covered, 10, 31)
	a, err2 := strconv.ParseUint(all, 10, 31)
	if errors.Join(err1, err2) == nil && c <= a {
		p.total.Branches += int64(a)
		p.total.BranchesCovered += int64(c)
	}
}

func (p *parser) done() (Total, error) {
	if p.total.Format == "" {
		return Total{}, errors.New("it is empty")
	}
	if p.total.Format == Cobertura && !p.lines {
		p.claimed.Format = Cobertura
		p.claimed.LinesCovered = min(p.claimed.LinesCovered, p.claimed.Lines)
		p.claimed.BranchesCovered = min(p.claimed.BranchesCovered, p.claimed.Branches)
		return p.claimed, nil
	}
	return p.total, nil
}

func attribute(t xml.StartElement, name string) string {
	for _, a := range t.Attr {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// number reads an attribute that counts something; what is no such number is 0.
func number(t xml.StartElement, name string) int64 {
	n, err := strconv.ParseUint(attribute(t, name), 10, 40)
	if err != nil {
		return 0
	}
	return int64(n)
}
