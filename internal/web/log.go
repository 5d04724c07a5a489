package web

import (
	"encoding/json"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/web/page"
)

const (
	// chunk is how many lines the log viewer takes at a time.
	chunk = 500
	// found is how many hits a search in a log returns at most.
	found = 2000
	// searched is how many lines a search reads at most.
	searched = 2_000_000
	// gulp is how many lines a search or download reads at a time.
	gulp = 10_000
)

// logRef is the step in the address.
type logRef struct {
	run  int64
	job  string
	step int
}

func (h *handler) logRef(r request) (logRef, error) {
	n, err := h.runNumber(r)
	if err != nil {
		return logRef{}, err
	}
	step, err := strconv.Atoi(r.PathValue("step"))
	if err != nil || step < 1 {
		return logRef{}, fault.New(fault.NotFound, "A step has a number; this is none.")
	}
	return logRef{n, r.PathValue("job"), step}, nil
}

// logLines answers with a chunk of a log as HTML, for the viewer.
func (h *handler) logLines(w http.ResponseWriter, r request) error {
	ref, err := h.logRef(r)
	if err != nil {
		return err
	}
	from, _ := strconv.ParseInt(r.query("from"), 10, 64)
	p, err := h.Pipeline.ReadLog(r.Context(), r.actor, ref.run, ref.job, ref.step, max(from, 0), chunk)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Towpath-Total", strconv.FormatInt(p.Total, 10))
	_, err = w.Write([]byte(page.LogLines(p.Lines)))
	return ignoreGone(err)
}

// each reads a log in large pieces until take returns false.
func (h *handler) each(r request, ref logRef, take func(pipeline.Line) bool) error {
	return h.eachFrom(r, ref, 0, take)
}

// eachFrom is each from a line on, counted from 0.
func (h *handler) eachFrom(r request, ref logRef, from int64, take func(pipeline.Line) bool) error {
	for {
		p, err := h.Pipeline.ReadLog(r.Context(), r.actor, ref.run, ref.job, ref.step, from, gulp)
		if err != nil || len(p.Lines) == 0 {
			return err
		}
		for _, l := range p.Lines {
			if !take(l) {
				return nil
			}
		}
		from += int64(len(p.Lines))
	}
}

// logRaw answers with the whole log as text, with times, without colours.
func (h *handler) logRaw(w http.ResponseWriter, r request) error {
	ref, err := h.logRef(r)
	if err != nil {
		return err
	}
	// Nothing is sent before the first lines are there, so that a refusal keeps its status.
	sent := false
	err = h.each(r, ref, func(l pipeline.Line) bool {
		if !sent {
			logHeaders(w, ref)
			sent = true
		}
		_, werr := w.Write([]byte(l.Time.UTC().Format("2006-01-02T15:04:05.000Z") + " " + page.PlainText(l.Text) + "\n"))
		return werr == nil
	})
	if err == nil && !sent {
		logHeaders(w, ref)
	}
	if sent {
		return nil
	}
	return err
}

func logHeaders(w http.ResponseWriter, ref logRef) {
	name := "run-" + strconv.FormatInt(ref.run, 10) + "-" + ref.job + "-" + strconv.Itoa(ref.step) + ".log"
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": name}))
}

// logFind answers with the numbers (from 1) of the lines that hold the text of the
// query, or of errors and warnings when it has none.
func (h *handler) logFind(w http.ResponseWriter, r request) error {
	ref, err := h.logRef(r)
	if err != nil {
		return err
	}
	var out struct {
		Lines    []int64 `json:"lines"`
		Errors   int     `json:"errors"`
		Warnings int     `json:"warnings"`
		More     bool    `json:"more"`
	}
	out.Lines = []int64{}
	text := strings.ToLower(r.query("q"))
	err = h.each(r, ref, func(l pipeline.Line) bool {
		class := page.LineClass(l.Text)
		switch {
		case text != "":
			if !strings.Contains(strings.ToLower(page.PlainText(l.Text)), text) {
				break
			}
			out.Lines = append(out.Lines, l.N+1)
		case class == "e":
			out.Errors++
			out.Lines = append(out.Lines, l.N+1)
		case class == "w":
			out.Warnings++
		}
		out.More = len(out.Lines) >= found || l.N >= searched
		return !out.More
	})
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	return ignoreGone(json.NewEncoder(w).Encode(out))
}

// logEvents streams lines as they come. Each event carries the number of the line after
// its last as id, so that a browser that comes back goes on where it was.
func (h *handler) logEvents(w http.ResponseWriter, r request) error {
	ref, err := h.logRef(r)
	if err != nil {
		return err
	}
	// A refusal must come before the stream begins.
	if _, err := h.Pipeline.ReadLog(r.Context(), r.actor, ref.run, ref.job, ref.step, 0, 1); err != nil {
		return err
	}
	from := resume(r, "from")
	st := openStream(w, r)
	defer st.close()
	err = h.Pipeline.Follow(r.Context(), r.actor, ref.run, ref.job, ref.step, from, func(lines []pipeline.Line) error {
		next := lines[len(lines)-1].N + 1
		body, err := json.Marshal(map[string]any{"from": lines[0].N, "next": next, "html": page.LogLines(lines)})
		if err != nil {
			return err
		}
		return st.send("lines", strconv.FormatInt(next, 10), body)
	})
	if err == nil {
		return ignoreGone(st.send("over", "", []byte("{}")))
	}
	return nil // The visitor left, or the server ends: the browser comes back by itself.
}
