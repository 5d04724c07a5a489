package web

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/web/page"
)

// maxResults is how many hits the palette shows.
const maxResults = 40

var (
	commitStart = regexp.MustCompile(`^[0-9a-f]{7,40}$`)
	runWord     = regexp.MustCompile(`^(?:run\s*)?#?([0-9]{1,12})$`)
)

// search answers the palette: rooms, runs, repositories, environments, images and
// projects whose names fit, and what a number or hash may mean.
func (h *handler) search(w http.ResponseWriter, r request) error {
	f := &finder{h: h, r: r, project: r.query("project"), text: strings.ToLower(strings.TrimSpace(r.query("q")))}
	for _, step := range []func() error{f.direct, f.rooms, f.runs, f.repos, f.environments, f.images, f.projects, f.rest} {
		// The project in the address may be gone or not the visitor's: then there is
		// nothing of it to find.
		if err := step(); err != nil && !fault.Is(err, fault.NotFound) && !fault.Is(err, fault.Denied) {
			return err
		}
	}
	return h.render(w, r, page.Found(f.list[:min(len(f.list), maxResults)]))
}

// finder collects hits.
type finder struct {
	h       *handler
	r       request
	project string
	text    string
	list    []page.Result
}

func (f *finder) at(path string) string { return "/projects/" + page.Esc(f.project) + path }

func (f *finder) add(group, icon, text, note, href string) {
	f.list = append(f.list, page.Result{Group: group, Icon: icon, Text: text, Note: note, Href: href})
}

// direct is what the text itself names.
func (f *finder) direct() error {
	if f.project == "" {
		return nil
	}
	text := strings.TrimSpace(strings.TrimPrefix(f.text, "trace"))
	if m := runWord.FindStringSubmatch(text); m != nil {
		f.add("Go to", "runs", "Run "+m[1], "run", f.at("/runs/"+m[1]))
	}
	if commitStart.MatchString(text) {
		f.add("Go to", "trace", "Evidence of commit "+text, "trace", f.at("/trace/commit/"+text))
	}
	if kind, id, ok := strings.Cut(text, "/"); ok && id != "" && strings.Contains(" commit image run release pod ", " "+kind+" ") {
		f.add("Go to", "trace", "Evidence of "+text, "trace", f.at("/trace/"+kind+"/"+page.EscPath(id)))
	}
	return nil
}

func (f *finder) rooms() error {
	if f.project == "" {
		return nil
	}
	for _, room := range page.Rooms() {
		if matches(f.text, room.Text) {
			f.add("Rooms", room.Icon, room.Text, "g "+room.Goto, f.at(room.Path))
		}
	}
	if matches(f.text, "settings members") {
		f.add("Rooms", "settings", "Settings", "g s", f.at("/settings"))
	}
	if matches(f.text, "run pipeline start") {
		f.add("Do", "runs", "Run pipeline", "", f.at("/runs?start=1"))
	}
	return nil
}

func (f *finder) runs() error {
	if f.project == "" {
		return nil
	}
	limit := 5
	if f.text != "" {
		limit = 100
	}
	list, err := f.h.Pipeline.Runs(f.r.Context(), f.r.actor, pipeline.Filter{Project: f.project, Limit: limit})
	if err != nil {
		return err
	}
	shown := 0
	for _, run := range list {
		n := strconv.FormatInt(run.Number, 10)
		if shown < 6 && matches(f.text, "run "+n, run.Title, run.Ref, run.Commit) {
			v := runOf(run)
			f.add("Runs", "runs", "Run "+n+"  "+run.Title, v.Word, f.at("/runs/"+n))
			shown++
		}
	}
	return nil
}

func (f *finder) repos() error {
	if f.project == "" {
		return nil
	}
	list, err := f.h.Source.Repos(f.r.Context(), f.r.actor, f.project)
	for _, repo := range list {
		if matches(f.text, repo.Name, "code") {
			f.add("Code", "code", repo.Name, "repository", f.at("/code/"+page.Esc(repo.Name)))
		}
	}
	return err
}

func (f *finder) environments() error {
	if f.project == "" {
		return nil
	}
	list, err := f.h.Deploy.Environments(f.r.Context(), f.r.actor, f.project)
	for _, e := range list {
		if matches(f.text, e.Name, "environment") {
			_, word := page.ReleaseState(e.Latest)
			f.add("Environments", "environments", e.Name, word, f.at("/environments/"+page.Esc(e.Name)))
		}
	}
	return err
}

func (f *finder) images() error {
	if f.project == "" || f.text == "" {
		return nil
	}
	list, err := f.h.Registry.Images(f.r.Context(), f.r.actor, f.project)
	shown := 0
	for _, i := range list {
		if shown < 6 && matches(f.text, append([]string{i.Repository, i.Digest}, i.Tags...)...) {
			s := page.Shell{Project: f.project}
			f.add("Images", "images", i.Repository, page.Short(i.Digest), page.ImageHref(s, i.Repository, i.Digest))
			shown++
		}
	}
	return err
}

func (f *finder) projects() error {
	list, err := f.h.Identity.Visible(f.r.Context(), f.r.actor)
	for _, p := range list {
		if p.Name != f.project && matches(f.text, p.Name) {
			f.add("Projects", "projects", p.Name, "project", "/projects/"+p.Name)
		}
	}
	return err
}

func (f *finder) rest() error {
	for _, e := range []struct{ icon, text, words, href string }{
		{"projects", "All projects", "projects", "/projects"}, {"key", "My tokens", "tokens settings password", "/settings"},
		{"status", "Installation", "status cluster agents advisories", "/status"},
	} {
		if matches(f.text, e.text, e.words) {
			f.add("Everywhere", e.icon, e.text, "", e.href)
		}
	}
	return nil
}
