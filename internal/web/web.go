package web

import (
	"log/slog"
	"net/http"

	"towpath.dev/towpath/internal/clock"
)

// Deps are the services behind the pages, all of them.
type Deps struct {
	Identity   Identity
	Source     Source
	Pulls      Pulls
	Rulesets   Rulesets
	Protection Protection
	Policy     Policy
	Compliance Compliance
	// Enforcement is nil in an installation without a cluster.
	Enforcement Enforcement
	Pipeline    Pipeline
	Definitions Definitions
	Pools       Pools
	Retention   Retention
	Tests       Tests
	Checks      Checks
	// Library is nil in an installation that keeps no secrets.
	Library  Library
	Registry Registry
	Supply   Supply
	Deploy   Deploy
	Evidence Evidence
	Monitor  Monitor
	Alerts   Alerts
	Insight  Insight
	Work     Work
	Signals  Signals
	Dora     Dora
	Dev      Dev
	Cluster  Cluster
	Log      Logbook
	Clock    clock.Clock
	Logger   *slog.Logger
}

// Options say where this installation is and what it calls itself.
type Options struct {
	PublicURL string // "http://localhost:7080", without a slash at its end
	Version   string // "v0.1.0"
	SSHURL    string // "ssh://git@localhost:7022", "" when Git is not served over SSH
}

// handler serves the pages.
type handler struct {
	Deps
	opts   Options
	assets *assets
	mux    *http.ServeMux

	outlines outlines
}

// New returns the handler of all pages, for the paths /, /login, /logout, /projects…,
// /settings…, /policy…, /status, /search and /assets/…. Any other path is answered with the page
// for what is not there.
func New(d Deps, o Options) http.Handler {
	h := &handler{Deps: d, opts: o, assets: openAssets(), mux: http.NewServeMux()}
	h.routes()
	return h.secure(h.mux)
}

// routes lists every address of the pages.
func (h *handler) routes() {
	h.mux.Handle("GET /assets/{hash}/{name...}", h.assets)
	h.mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/projects", http.StatusSeeOther) })
	h.mux.HandleFunc("GET /login", h.loginPage)
	h.mux.HandleFunc("POST /login", h.login)
	h.form("POST /logout", h.logout)

	h.page("GET /projects", h.projects)
	h.form("POST /projects", h.createProject)
	h.page("GET /settings", h.tokens)
	h.form("POST /settings/tokens", h.createToken)
	h.form("POST /settings/tokens/{id}/revoke", h.revokeToken)
	h.form("POST /settings/keys", h.addKey)
	h.form("POST /settings/keys/{id}/remove", h.removeKey)
	h.page("GET /status", h.status)
	h.page("GET /search", h.search)

	h.page("GET /projects/{project}", h.path)
	h.page("GET /projects/{project}/events", h.projectEvents)
	h.page("GET /projects/{project}/trace/{kind}/{id...}", h.trace)
	h.page("GET /projects/{project}/settings", h.settings)
	h.form("POST /projects/{project}/settings/members", h.grant)

	h.codeRoutes()
	h.pullRoutes()

	h.page("GET /projects/{project}/runs", h.runs)
	h.form("POST /projects/{project}/runs", h.startRun)
	h.page("GET /projects/{project}/runs/{run}", h.run)
	h.page("GET /projects/{project}/runs/{run}/events", h.runEvents)
	h.form("POST /projects/{project}/runs/{run}/cancel", h.cancelRun)
	h.form("POST /projects/{project}/runs/{run}/rerun", h.rerun)
	h.form("POST /projects/{project}/runs/{run}/release", h.releaseJob)
	h.page("GET /projects/{project}/runs/{run}/terminal", h.terminal)
	h.page("GET /projects/{project}/runs/{run}/terminal/socket", h.socket)
	h.pipelineRoutes()
	h.checkRoutes()
	h.gateRoutes()
	h.libraryRoutes()
	h.page("GET /projects/{project}/agents", h.agents)
	h.form("POST /projects/{project}/runs/{run}/stages/{stage}/{act}", h.stageAct)
	h.page("GET /projects/{project}/runs/{run}/artifacts/{name}", h.artifact)
	h.page("GET /projects/{project}/runs/{run}/attachments/{attachment}", h.attachment)
	h.page("GET /projects/{project}/runs/{run}/log/{job}/{step}", h.logLines)
	h.page("GET /projects/{project}/runs/{run}/log/{job}/{step}/raw", h.logRaw)
	h.page("GET /projects/{project}/runs/{run}/log/{job}/{step}/find", h.logFind)
	h.page("GET /projects/{project}/runs/{run}/log/{job}/{step}/outline", h.logOutline)
	h.page("GET /projects/{project}/runs/{run}/log/{job}/{step}/events", h.logEvents)

	h.page("GET /projects/{project}/images", h.images)
	h.page("GET /projects/{project}/images/{ref...}", h.image)
	h.page("GET /projects/{project}/environments", h.environments)
	h.page("GET /projects/{project}/environments/{env}", h.environment)
	h.form("POST /projects/{project}/environments/{env}", h.editEnvironment)
	h.form("POST /projects/{project}/environments/{env}/end", h.endReviewApp)
	h.page("GET /projects/{project}/environments/{env}/releases/{release}", h.release)
	h.form("POST /projects/{project}/environments/{env}/releases/{release}/redeploy", h.redeploy)

	h.page("GET /projects/{project}/sessions", h.sessions)
	h.form("POST /projects/{project}/sessions/{session}/stop", h.stopSession)

	h.page("GET /projects/{project}/dora", h.dora)
	h.form("POST /projects/{project}/canaries/promote", h.promoteCanary)
	h.form("POST /projects/{project}/canaries/reject", h.rejectCanary)

	h.monitorRoutes()
	h.workRoutes()
	h.sprintRoutes()
	h.policyRoutes("/projects/{project}/policy")
	h.policyRoutes("/policy") // The whole installation, for its administrators.
	h.page("/", h.nowhere)
}

// monitorRoutes are the addresses of the room Monitor.
func (h *handler) monitorRoutes() {
	at := "/projects/{project}/monitor"
	h.page("GET "+at, h.health)
	h.page("GET "+at+"/logs", h.logs)
	h.page("GET "+at+"/traces", h.traces)
	h.page("GET "+at+"/traces/{id}", h.spans)
	h.page("GET "+at+"/metrics", h.metrics)
	h.page("GET "+at+"/map", h.callMap)
	h.page("GET "+at+"/errors", h.groups)
	h.page("GET "+at+"/errors/{group}", h.group)
	h.form("POST "+at+"/errors/{group}/state", h.setGroup)
	h.page("GET "+at+"/alerts", h.alerts)
	h.page("GET "+at+"/alerts/{id}", h.alert)
	h.form("POST "+at+"/alerts/{id}/acknowledge", h.acknowledge)
	h.form("POST "+at+"/alerts/{id}/close", h.closeAlert)
	h.form("POST "+at+"/alerts/{id}/silence", h.silenceAlert)
	h.page("GET "+at+"/rules", h.rules)
	h.page("GET "+at+"/rules/new", h.ruleForm)
	h.form("POST "+at+"/rules", h.makeRule)
	h.page("GET "+at+"/rules/{id}", h.rule)
	h.form("POST "+at+"/rules/{id}/mute", h.muteRule)
	h.form("POST "+at+"/rules/{id}/remove", h.removeRule)
}

// policyRoutes are the addresses of policy below a path.
func (h *handler) policyRoutes(at string) {
	h.page("GET "+at, h.policies)
	h.page("GET "+at+"/assignments/{name}", h.assignment)
	h.form("POST "+at+"/assignments", h.assign)
	h.form("POST "+at+"/assignments/{name}/remove", h.unassign)
	h.page("GET "+at+"/assign", h.assignForm)
	h.page("GET "+at+"/definitions", h.definitions)
	h.page("GET "+at+"/definitions/{name}", h.definition)
	h.page("GET "+at+"/initiatives/{name}", h.initiative)
	h.page("GET "+at+"/exemptions", h.exemptions)
	h.page("GET "+at+"/exemptions/new", h.exemptForm)
	h.form("POST "+at+"/exemptions", h.exempt)
	h.form("POST "+at+"/exemptions/{name}/remove", h.unexempt)
	h.page("GET "+at+"/decisions", h.decisions)
	h.page("GET "+at+"/decisions/{id}", h.decision)
}

// codeRoutes are the addresses of repositories.
func (h *handler) codeRoutes() {
	h.page("GET /projects/{project}/code", h.repos)
	h.page("GET /projects/{project}/code/{repo}", h.tree)
	h.page("GET /projects/{project}/code/{repo}/tree/{rev}", h.tree)
	h.page("GET /projects/{project}/code/{repo}/tree/{rev}/{path...}", h.tree)
	h.page("GET /projects/{project}/code/{repo}/blob/{rev}/{path...}", h.blob)
	h.page("GET /projects/{project}/code/{repo}/raw/{rev}/{path...}", h.raw)
	h.page("GET /projects/{project}/code/{repo}/commits/{rev}", h.commits)
	h.page("GET /projects/{project}/code/{repo}/commits/{rev}/{path...}", h.commits)
	h.page("GET /projects/{project}/code/{repo}/commit/{rev}", h.commit)
	h.page("GET /projects/{project}/code/{repo}/branches", h.branches)

	h.page("GET /projects/{project}/code/{repo}/edit/{rev}/{path...}", h.edit(false))
	h.page("GET /projects/{project}/code/{repo}/new/{rev}", h.edit(true))
	h.formOf(2*maxEdited, "POST /projects/{project}/code/{repo}/edit", h.commitEdit)
	h.page("GET /projects/{project}/code/{repo}/secrets", h.secrets)
	h.page("GET /projects/{project}/code/{repo}/secrets/{id}", h.secret)
	h.form("POST /projects/{project}/code/{repo}/secrets/{id}/bypass", h.bypass)
	h.form("POST /projects/{project}/code/{repo}/secrets/bypasses/{id}/revoke", h.revokeBypass)
	h.page("GET /projects/{project}/code/{repo}/settings", h.repoSettings)
	h.form("POST /projects/{project}/code/{repo}/settings/keys", h.addDeployKey)
	h.form("POST /projects/{project}/code/{repo}/settings/keys/{id}/remove", h.removeDeployKey)
	h.page("GET /projects/{project}/code/{repo}/settings/rulesets/new", h.ruleset)
	h.page("GET /projects/{project}/code/{repo}/settings/rulesets/{ruleset}", h.ruleset)
	h.form("POST /projects/{project}/code/{repo}/settings/rulesets", h.putRuleset)
	h.form("POST /projects/{project}/code/{repo}/settings/rulesets/{ruleset}/delete", h.deleteRuleset)
}

// pullRoutes are the addresses of pull requests.
func (h *handler) pullRoutes() {
	h.page("GET /projects/{project}/pulls", h.pulls)
	h.page("GET /projects/{project}/pulls/new", h.newPull)
	h.form("POST /projects/{project}/pulls/{repo}", h.openPull)
	const one = "/projects/{project}/pulls/{repo}/{pull}"
	h.page("GET "+one, h.pull)
	h.form("POST "+one+"/edit", h.act(h.editPull))
	h.form("POST "+one+"/draft", h.act(h.draftPull(true)))
	h.form("POST "+one+"/ready", h.act(h.draftPull(false)))
	h.form("POST "+one+"/close", h.act(h.closePull))
	h.form("POST "+one+"/reopen", h.act(h.reopenPull))
	h.form("POST "+one+"/request", h.act(h.askReview))
	h.form("POST "+one+"/comments", h.act(h.commentPull))
	h.form("POST "+one+"/threads/{thread}", h.act(h.threadPull))
	h.form("POST "+one+"/reviews", h.act(h.reviewPull))
	h.form("POST "+one+"/reviews/{review}/dismiss", h.act(h.dismissReview))
	h.form("POST "+one+"/merge", h.act(h.mergePull))
}
