package azure

import (
	"net/http"
	"strconv"
)

// securefilesLocation is where clients look for the download of secure files; the id is the
// service's, as its client for Node (azure-devops-node-api, MIT) asks for it.
const (
	securefilesLocation   = "adcfd8bc-b184-43ba-bd84-7c8c6a2ff421"
	resourceAreasLocation = "e81700f7-3be2-46de-8624-2eb35882fcaa"
)

// location says where a resource of the service's API is, and in which versions.
type location struct {
	ID              string `json:"id"`
	Area            string `json:"area"`
	ResourceName    string `json:"resourceName"`
	RouteTemplate   string `json:"routeTemplate"`
	ResourceVersion int    `json:"resourceVersion"`
	MinVersion      string `json:"minVersion"`
	MaxVersion      string `json:"maxVersion"`
	ReleasedVersion string `json:"releasedVersion"`
}

func at(id, area, resource, template string) location {
	return location{ID: id, Area: area, ResourceName: resource, RouteTemplate: template, ResourceVersion: 1, MinVersion: "1.0", MaxVersion: "7.2", ReleasedVersion: "0.0"}
}

// discovery are the answers that clients ask for before they ask for anything else: OPTIONS of
// an area. They say what is public of the service's API and nothing of this installation, so
// that nobody has to sign in for them.
func (s *server) discovery(mux *http.ServeMux) {
	for area, locations := range map[string][]location{
		"Location":        {at(resourceAreasLocation, "Location", "ResourceAreas", "_apis/{resource}/{areaId}")},
		"distributedtask": {at(securefilesLocation, "distributedtask", "securefiles", "{project}/_apis/{area}/{resource}/{secureFileId}")},
	} {
		mux.HandleFunc("OPTIONS /_apis/"+area, func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, list(locations)) })
	}
	// As on premises: no area has a server of its own.
	mux.HandleFunc("GET /_apis/ResourceAreas", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, list[location](nil)) })
}

// secureFile is the content of a secure file, for a task of a running job that has its ticket.
func (s *server) secureFile(c *call) (any, error) {
	name, content, err := s.pipeline.TicketFile(c.ctx, c.actor, c.project, c.r.PathValue("id"), c.r.URL.Query().Get("ticket"))
	if err != nil {
		return nil, err
	}
	h := c.w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Length", strconv.Itoa(len(content)))
	h.Set("Content-Disposition", "attachment; filename="+strconv.Quote(name))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	_, _ = c.w.Write(content) // that the task is gone is its own trouble
	return written{}, nil
}
