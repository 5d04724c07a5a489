package lsp

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"

	"towpath.dev/towpath/internal/pipeline/validate"
)

// Config is what a language server knows beside what the editor tells it.
type Config struct {
	Version string
	// Repositories are the folders of other repositories by lower-case alias or name.
	Repositories map[string]string
	// Variables are the predefined variables that template expressions may read.
	Variables map[string]string
	// Tasks are the tasks that pipelines may use; nil stands for the built-in ones.
	Tasks validate.Catalog
}

// Server is one session with an editor. Make it with New.
type Server struct {
	version   string
	variables map[string]string
	lang      *language
	space     *workspace
	out       io.Writer
	ready     bool // initialize was answered
	ending    bool // shutdown was
	uris      map[string]string
}

// New returns a server that has heard of nothing yet.
func New(c Config) *Server {
	return &Server{
		version: c.Version, variables: c.Variables, lang: newLanguage(c.Tasks), uris: map[string]string{},
		space: &workspace{open: map[string]string{}, repositories: c.Repositories},
	}
}

// errExit ends a session in order, errEarly one that was not shut down.
var (
	errExit  = errors.New("exit")
	errEarly = errors.New("the editor left without a shutdown")
)

// Serve answers messages until the editor says exit or the input ends; then nil is returned
// unless the editor left without a shutdown. Diagnostics are made when no message waits, so
// that typing is never behind.
func (s *Server) Serve(ctx context.Context, in io.Reader, out io.Writer) error {
	s.out = out
	type arrival struct {
		content []byte
		err     error
	}
	arrivals := make(chan arrival, 64)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		r := bufio.NewReader(in)
		for {
			content, err := readMessage(r)
			select {
			case arrivals <- arrival{content, err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	dirty := false
	for {
		var a arrival
		select {
		case a = <-arrivals:
		case <-ctx.Done():
			return nil
		default:
			if dirty {
				dirty = false
				if err := s.publish(ctx); err != nil {
					return err
				}
				continue
			}
			select {
			case a = <-arrivals:
			case <-ctx.Done():
				return nil
			}
		}
		if a.err != nil {
			if errors.Is(a.err, io.EOF) && (s.ending || !s.ready) {
				return nil
			}
			return fmt.Errorf("reading from the editor: %w", a.err)
		}
		changed, err := s.handle(a.content)
		if errors.Is(err, errExit) {
			return nil
		}
		if err != nil {
			return err
		}
		dirty = dirty || changed
	}
}

// handle answers one message; changed says that documents have changed.
func (s *Server) handle(content []byte) (changed bool, err error) {
	var m message
	if json.Unmarshal(content, &m) != nil {
		null := json.RawMessage("null")
		return false, writeMessage(s.out, message{ID: &null, Error: &rpcError{codeParse, "the message is no JSON"}})
	}
	if m.ID == nil {
		return s.notified(m)
	}
	if m.Method == "" {
		return false, nil // The answer to a request that was never made.
	}
	result, fault := s.asked(m)
	answer := message{ID: m.ID, Result: result, Error: fault}
	if fault == nil && result == nil {
		answer.Result = json.RawMessage("null")
	}
	return false, writeMessage(s.out, answer)
}

// document is a document in parameters.
type document struct {
	URI  string `json:"uri"`
	Text string `json:"text"`
}

// docParams are the parameters of everything that is about a document.
type docParams struct {
	TextDocument   document `json:"textDocument"`
	Position       position `json:"position"`
	ContentChanges []change `json:"contentChanges"`
	Context        struct {
		// Diagnostics come from any server of the editor, so each is read by itself.
		Diagnostics []json.RawMessage `json:"diagnostics"`
	} `json:"context"`
}

// notified takes a notification.
func (s *Server) notified(m message) (changed bool, err error) {
	if m.Method == "exit" {
		if s.ending {
			return false, errExit
		}
		return false, errEarly
	}
	var p docParams
	if json.Unmarshal(m.Params, &p) != nil {
		return false, nil
	}
	switch m.Method {
	case "textDocument/didOpen":
		return s.put(p.TextDocument.URI, p.TextDocument.Text), nil
	case "textDocument/didChange":
		return s.change(p.TextDocument.URI, p.ContentChanges), nil
	case "textDocument/didClose":
		if file, ok := s.space.relative(p.TextDocument.URI); ok {
			delete(s.space.open, file)
			delete(s.uris, file)
			return true, s.sayFound(p.TextDocument.URI, []diagnostic{})
		}
	case "textDocument/didSave", "workspace/didChangeWatchedFiles":
		return true, nil
	}
	return false, nil
}

// maxOpen bounds the documents that are open at a time.
const maxOpen = 1000

func (s *Server) put(uri, text string) bool {
	file, ok := s.space.relative(uri)
	if !ok || len(s.space.open) >= maxOpen && s.uris[file] == "" {
		return false
	}
	s.space.open[file], s.uris[file] = text, uri
	return true
}

// change changes an open document.
func (s *Server) change(uri string, changes []change) bool {
	file, ok := s.space.relative(uri)
	if _, open := s.space.open[file]; !ok || !open {
		return false
	}
	text, ok := applied(s.space.open[file], changes)
	if !ok {
		delete(s.space.open, file) // Nothing more can be said of it.
		delete(s.uris, file)
		return true
	}
	s.space.open[file] = text
	return true
}

// asked answers a request.
func (s *Server) asked(m message) (any, *rpcError) {
	switch {
	case m.Method == "initialize":
		return s.initialize(m.Params)
	case !s.ready:
		return nil, &rpcError{codeNotInitialized, "the first request is initialize"}
	case s.ending:
		return nil, &rpcError{codeInvalidRequest, "the server was shut down"}
	case m.Method == "shutdown":
		s.ending = true
		return nil, nil
	}
	var p docParams
	if err := json.Unmarshal(m.Params, &p); err != nil && len(m.Params) > 0 {
		return nil, &rpcError{codeInvalidParams, "the parameters are not those of " + m.Method}
	}
	file, known := s.space.relative(p.TextDocument.URI)
	_, open := s.space.open[file]
	known = known && open
	answer, ok := s.answers()[m.Method]
	if !ok {
		return nil, &rpcError{codeNoMethod, "there is no method " + m.Method}
	}
	return answer(file, known, p), nil
}

// answers are the requests about a document; known is false for one that is not open. nil
// says that there is nothing to say.
func (s *Server) answers() map[string]func(file string, known bool, p docParams) any {
	return map[string]func(file string, known bool, p docParams) any{
		"textDocument/completion": func(file string, known bool, p docParams) any {
			if !known {
				return []completion{}
			}
			return append([]completion{}, s.complete(file, p.Position)...)
		},
		"textDocument/hover": func(file string, known bool, p docParams) any {
			if known {
				if text := s.hover(file, p.Position); text != "" {
					return map[string]any{"contents": explained(text)}
				}
			}
			return nil
		},
		"textDocument/definition": func(file string, known bool, p docParams) any {
			if known {
				if at, ok := s.definition(file, p.Position); ok {
					return at
				}
			}
			return nil
		},
		"textDocument/signatureHelp": func(file string, known bool, p docParams) any {
			if known {
				if found := s.signature(file, p.Position); found != nil {
					return found
				}
			}
			return nil
		},
		"textDocument/documentSymbol": func(file string, known bool, _ docParams) any {
			if !known {
				return []symbol{}
			}
			return s.symbols(file)
		},
		"textDocument/codeAction": func(file string, known bool, p docParams) any {
			if !known {
				return []action{}
			}
			var own []diagnostic
			for _, raw := range p.Context.Diagnostics {
				var d diagnostic
				if json.Unmarshal(raw, &d) == nil && d.Source == source {
					own = append(own, d)
				}
			}
			return s.actions(file, own)
		},
	}
}

// initialize says what the server can, and hears which folder is open.
func (s *Server) initialize(params json.RawMessage) (any, *rpcError) {
	var p struct {
		RootURI          string                 `json:"rootUri"`
		WorkspaceFolders []struct{ URI string } `json:"workspaceFolders"`
	}
	if json.Unmarshal(params, &p) != nil {
		return nil, &rpcError{codeInvalidParams, "the parameters are not those of initialize"}
	}
	if len(p.WorkspaceFolders) > 0 {
		p.RootURI = p.WorkspaceFolders[0].URI
	}
	if u, err := url.Parse(p.RootURI); err == nil && u.Scheme == "file" && u.Path != "" {
		s.space.root = filepath.Clean(filepath.FromSlash(u.Path))
	}
	s.ready = true
	return map[string]any{
		"capabilities": map[string]any{
			"positionEncoding":       "utf-16",
			"textDocumentSync":       map[string]any{"openClose": true, "change": 2, "save": true},
			"completionProvider":     map[string]any{"triggerCharacters": []string{" ", ":", "-", ".", "(", "@", "/"}},
			"hoverProvider":          true,
			"definitionProvider":     true,
			"signatureHelpProvider":  map[string]any{"triggerCharacters": []string{"(", ","}},
			"documentSymbolProvider": true,
			"codeActionProvider":     map[string]any{"codeActionKinds": []string{"quickfix"}},
		},
		"serverInfo": map[string]any{"name": "towpath", "version": s.version},
	}, nil
}

// publish tells the editor what is wrong with the open documents.
func (s *Server) publish(ctx context.Context) error {
	for file, list := range s.diagnose(ctx) {
		if err := s.sayFound(s.uris[file], list); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) sayFound(uri string, list []diagnostic) error {
	params, err := json.Marshal(map[string]any{"uri": uri, "diagnostics": list})
	if err != nil {
		return fmt.Errorf("encoding diagnostics: %w", err)
	}
	return writeMessage(s.out, message{Method: "textDocument/publishDiagnostics", Params: params})
}
