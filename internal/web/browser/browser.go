package browser

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// Find returns the path of an installed Chromium, or an error that names what to install.
func Find() (string, error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("no Chromium is installed: apt-get install chromium")
}

// Browser is a running Chromium.
type Browser struct {
	cmd     *exec.Cmd
	in, out *os.File
	profile string
	done    chan struct{}

	mu      sync.Mutex
	next    int64
	waiting map[int64]chan answer
	heard   map[string]func(method string, params json.RawMessage) // by session
}

type answer struct {
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Message string `json:"message"`
	} `json:"error"`
}

// Start starts the program with a fresh profile. Stop must be called.
func Start(program string) (*Browser, error) {
	profile, err := os.MkdirTemp("", "towpath-browser-")
	if err != nil {
		return nil, err
	}
	toRead, toWrite, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	fromRead, fromWrite, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	b := &Browser{in: toWrite, out: fromRead, profile: profile, done: make(chan struct{}), waiting: map[int64]chan answer{}, heard: map[string]func(string, json.RawMessage){}}
	b.cmd = exec.Command(program, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars", "--remote-debugging-pipe", "--user-data-dir="+filepath.Join(profile, "data"))
	b.cmd.ExtraFiles = []*os.File{toRead, fromWrite} // The browser reads 3 and writes 4.
	b.cmd.Env = []string{"HOME=" + profile, "PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8", "TZ=UTC"}
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := b.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", program, err)
	}
	err = errors.Join(toRead.Close(), fromWrite.Close())
	go b.read(fromRead)
	return b, err
}

// Stop ends the browser with all its processes and removes the profile.
func (b *Browser) Stop() error {
	err := b.in.Close()
	// The group is of this browser alone: it was made at the start.
	_ = syscall.Kill(-b.cmd.Process.Pid, syscall.SIGKILL)
	_ = b.cmd.Wait() // It was killed; its status says nothing.
	// A helper that left the group may still hold the other end of the pipe.
	err = errors.Join(err, b.out.Close())
	<-b.done
	return errors.Join(err, os.RemoveAll(b.profile))
}

func (b *Browser) read(from io.Reader) {
	defer close(b.done)
	r := bufio.NewReaderSize(from, 1<<20)
	for {
		raw, err := r.ReadBytes(0)
		if err != nil {
			b.mu.Lock()
			defer b.mu.Unlock()
			for id, c := range b.waiting {
				close(c)
				delete(b.waiting, id)
			}
			return
		}
		var m struct {
			ID      int64           `json:"id"`
			Method  string          `json:"method"`
			Session string          `json:"sessionId"`
			Params  json.RawMessage `json:"params"`
			answer
		}
		if json.Unmarshal(raw[:len(raw)-1], &m) != nil {
			continue
		}
		b.mu.Lock()
		wait, heard := b.waiting[m.ID], b.heard[m.Session]
		delete(b.waiting, m.ID)
		b.mu.Unlock()
		switch {
		case m.ID > 0 && wait != nil:
			wait <- m.answer
		case m.Method != "" && heard != nil:
			heard(m.Method, m.Params)
		}
	}
}

// call sends a command and decodes its result into out, which may be nil.
func (b *Browser) call(ctx context.Context, session, method string, params, out any) error {
	b.mu.Lock()
	b.next++
	id := b.next
	wait := make(chan answer, 1)
	b.waiting[id] = wait
	raw, err := json.Marshal(map[string]any{"id": id, "sessionId": session, "method": method, "params": params})
	if session == "" {
		raw, err = json.Marshal(map[string]any{"id": id, "method": method, "params": params})
	}
	if err == nil {
		_, err = b.in.Write(append(raw, 0))
	}
	b.mu.Unlock()
	if err != nil {
		return fmt.Errorf("sending %s: %w", method, err)
	}
	select {
	case <-ctx.Done():
		return fmt.Errorf("waiting for %s: %w", method, ctx.Err())
	case a, ok := <-wait:
		switch {
		case !ok:
			return fmt.Errorf("%s: the browser has ended", method)
		case a.Error != nil:
			return fmt.Errorf("%s: %s", method, a.Error.Message)
		case out != nil:
			return json.Unmarshal(a.Result, out)
		}
		return nil
	}
}

// Page is a tab.
type Page struct {
	b       *Browser
	session string

	mu       sync.Mutex
	problems []string // uncaught exceptions, console errors and refusals of the security policy
}

// Open opens an empty tab of a size in CSS pixels. A width below 600 makes it a phone.
func (b *Browser) Open(ctx context.Context, width, height int) (*Page, error) {
	var context struct {
		ID string `json:"browserContextId"`
	}
	if err := b.call(ctx, "", "Target.createBrowserContext", map[string]any{}, &context); err != nil {
		return nil, err
	}
	var target struct {
		ID string `json:"targetId"`
	}
	if err := b.call(ctx, "", "Target.createTarget", map[string]any{"url": "about:blank", "browserContextId": context.ID, "width": width, "height": height}, &target); err != nil {
		return nil, err
	}
	var session struct {
		ID string `json:"sessionId"`
	}
	if err := b.call(ctx, "", "Target.attachToTarget", map[string]any{"targetId": target.ID, "flatten": true}, &session); err != nil {
		return nil, err
	}
	p := &Page{b: b, session: session.ID}
	b.mu.Lock()
	b.heard[session.ID] = p.hear
	b.mu.Unlock()
	for _, m := range []string{"Page.enable", "Runtime.enable", "Log.enable"} {
		if err := p.call(ctx, m, map[string]any{}, nil); err != nil {
			return nil, err
		}
	}
	return p, p.Resize(ctx, width, height)
}

func (p *Page) call(ctx context.Context, method string, params, out any) error {
	return p.b.call(ctx, p.session, method, params, out)
}

func (p *Page) hear(method string, params json.RawMessage) {
	var m struct {
		Details struct {
			Text      string `json:"text"`
			Exception struct {
				Description string `json:"description"`
			} `json:"exception"`
		} `json:"exceptionDetails"`
		Entry struct {
			Level, Text, URL string
		} `json:"entry"`
	}
	if json.Unmarshal(params, &m) != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case method == "Runtime.exceptionThrown":
		p.problems = append(p.problems, m.Details.Text+" "+m.Details.Exception.Description)
	case method == "Log.entryAdded" && m.Entry.Level == "error":
		p.problems = append(p.problems, m.Entry.Text+" "+m.Entry.URL)
	}
}

// Problems returns what went wrong in the tab since the last call: uncaught exceptions,
// failed loads and refusals of the security policy.
func (p *Page) Problems() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := p.problems
	p.problems = nil
	return out
}

// Resize sets the size in CSS pixels.
func (p *Page) Resize(ctx context.Context, width, height int) error {
	return p.call(ctx, "Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}, nil)
}

// Scheme makes the system prefer "light" or "dark".
func (p *Page) Scheme(ctx context.Context, scheme string) error {
	return p.call(ctx, "Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
}

// Go loads an address and waits until it is complete.
func (p *Page) Go(ctx context.Context, url string) error {
	var res struct {
		ErrorText string `json:"errorText"`
	}
	if err := p.call(ctx, "Page.navigate", map[string]any{"url": url}, &res); err != nil {
		return err
	}
	if res.ErrorText != "" {
		return fmt.Errorf("loading %s: %s", url, res.ErrorText)
	}
	return p.Until(ctx, `document.readyState === "complete"`)
}

// Eval runs an expression and decodes its value into out, which may be nil. A promise is
// awaited.
func (p *Page) Eval(ctx context.Context, expression string, out any) error {
	var res struct {
		Result struct {
			Value json.RawMessage `json:"value"`
		} `json:"result"`
		Details *struct {
			Text      string `json:"text"`
			Exception struct {
				Description string `json:"description"`
			} `json:"exception"`
		} `json:"exceptionDetails"`
	}
	err := p.call(ctx, "Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true, "awaitPromise": true, "userGesture": true}, &res)
	switch {
	case err != nil:
		return err
	case res.Details != nil:
		return fmt.Errorf("evaluating %s: %s %s", expression, res.Details.Text, res.Details.Exception.Description)
	case out == nil || res.Result.Value == nil:
		return nil
	}
	return json.Unmarshal(res.Result.Value, out)
}

// Until waits until an expression is true or ctx ends. A page that is being replaced
// counts as not yet.
func (p *Page) Until(ctx context.Context, expression string) error {
	for {
		var ok bool
		err := p.Eval(ctx, "Boolean("+expression+")", &ok)
		if err == nil && ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("waiting until %s: %w", expression, ctx.Err()), err)
		case <-time.After(25 * time.Millisecond):
		}
	}
}

// Type sends text as if typed into what has the focus.
func (p *Page) Type(ctx context.Context, text string) error {
	return p.call(ctx, "Input.insertText", map[string]any{"text": text}, nil)
}

// Press presses and releases one key by its DOM name, "Enter" or "k"; ctrl holds Control.
func (p *Page) Press(ctx context.Context, key string, ctrl bool) error {
	down := map[string]any{"type": "keyDown", "key": key}
	if ctrl {
		down["modifiers"] = 2
	}
	switch {
	case key == "Enter":
		down["text"], down["windowsVirtualKeyCode"] = "\r", 13
	case len(key) == 1 && !ctrl:
		down["text"] = key
	}
	if err := p.call(ctx, "Input.dispatchKeyEvent", down, nil); err != nil {
		return err
	}
	return p.call(ctx, "Input.dispatchKeyEvent", map[string]any{"type": "keyUp", "key": key}, nil)
}

// Shift presses and releases one key while Shift is held, "ArrowRight".
func (p *Page) Shift(ctx context.Context, key string) error {
	if err := p.call(ctx, "Input.dispatchKeyEvent", map[string]any{"type": "keyDown", "key": key, "modifiers": 8}, nil); err != nil {
		return err
	}
	return p.call(ctx, "Input.dispatchKeyEvent", map[string]any{"type": "keyUp", "key": key, "modifiers": 8}, nil)
}

// Screenshot returns a picture of what is visible as PNG.
func (p *Page) Screenshot(ctx context.Context) ([]byte, error) {
	var res struct {
		Data string `json:"data"`
	}
	if err := p.call(ctx, "Page.captureScreenshot", map[string]any{"format": "png"}, &res); err != nil {
		return nil, err
	}
	return base64.StdEncoding.DecodeString(res.Data)
}
