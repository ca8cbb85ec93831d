//! Every kind of page in a real browser: nothing is wrong on the console, nothing is wider than the screen,
//! on a telephone as on a desk, folded or not, and axe finds nothing that keeps somebody from reading it, in
//! light and in dark.

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::Duration,
};

use common::{User, ignored_without, wait};
use libtest_mimic::{Arguments, Trial};
use notafter::{
    pki::{Authority, Identity, Validity},
    profile::{self, Profile, UNKNOWN},
};

/// What Debian and others call it.
const BROWSERS: [&str; 4] = ["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"];
/// Widths of a telephone, a tablet and a desk, CSS pixels.
const WIDTHS: [u32; 3] = [360, 768, 1280];
/// Colour schemes, each with the setting of the browser that asks for it.
const SCHEMES: [(&str, &str); 2] = [
    ("light", "--blink-settings=preferredColorScheme=1"),
    ("dark", "--blink-settings=preferredColorScheme=0"),
];
/// A page that is not drawn by then never is.
const PATIENCE: Duration = Duration::from_mins(1);

/// Opens everything that is folded, then says how wide the page is, and what is wider than its screen.
const PROBE: &str = r#"<script>addEventListener("load",()=>{
for(const folded of document.querySelectorAll("details"))folded.open=true;
const root=document.documentElement;
const wide=[...document.querySelectorAll("body *")].filter(e=>!e.closest("svg,.skip,.scroll>*")&&e.getBoundingClientRect().right>root.clientWidth+1);
document.body.dataset.probe="screen "+root.clientWidth+", page "+root.scrollWidth+", wider: "+(wide.map(e=>e.tagName+"."+e.className).join(" ")||"none");
});</script>"#;

/// Where `ci/setup` puts axe, under the user's cache.
const AXE: &str = "notafter/axe-core-4.14.1/axe.min.js";
/// Every rule of axe on everything that can be unfolded; gives the scheme, how much was found right, and what
/// was not.
const JUDGE: &str = r#"<script src="AXE"></script><script>addEventListener("load",async()=>{
for(const folded of document.querySelectorAll("details"))folded.open=true;
const scheme=matchMedia("(prefers-color-scheme: dark)").matches?"dark":"light";
const {passes,violations}=await axe.run();
const wrong=violations.map(v=>v.id+" at "+v.nodes.map(n=>n.target.join(" ")).join(", ")).join("; ")||"nothing";
document.body.dataset.probe=scheme+", "+(passes.length>20?"many":"few")+" rules passed, wrong: "+wrong;
});</script>"#;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trials = vec![
        trial(
            "the_page_of_a_run_fits_every_screen_and_has_no_error",
            the_page_of_a_run_fits_every_screen_and_has_no_error,
        ),
        trial(
            "the_page_of_an_inventory_fits_every_screen_and_has_no_error",
            the_page_of_an_inventory_fits_every_screen_and_has_no_error,
        ),
        trial(
            "the_page_of_orders_fits_every_screen_and_has_no_error",
            the_page_of_orders_fits_every_screen_and_has_no_error,
        ),
        trial(
            "the_page_of_a_blast_fits_every_screen_and_has_no_error",
            the_page_of_a_blast_fits_every_screen_and_has_no_error,
        ),
        trial(
            "the_page_of_a_profile_fits_every_screen_and_has_no_error",
            the_page_of_a_profile_fits_every_screen_and_has_no_error,
        ),
        trial(
            "the_page_of_the_past_fits_every_screen_and_has_no_error",
            the_page_of_the_past_fits_every_screen_and_has_no_error,
        ),
        trial("the_probe_sees_what_is_wrong", the_probe_sees_what_is_wrong),
        trial("axe_sees_what_nobody_can_read", axe_sees_what_nobody_can_read),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(name: &str, claim: fn(&Path)) -> Trial {
    Trial::ignorable_test(name, move || {
        let Some(browser) = browser() else {
            return ignored_without("browser", format!("none of {} is in PATH", BROWSERS.join(", ")));
        };
        if !axe().is_file() {
            return ignored_without("browser", format!("{} is missing; ci/setup gets it", axe().display()));
        }
        claim(&browser);
        Ok(libtest_mimic::Completion::Completed)
    })
}

fn the_page_of_a_run_fits_every_screen_and_has_no_error(browser: &Path) {
    let user = User::new();
    let said = user.run(&["run", "aware-2022/as-it-was", "--scale", "1m=5ms"]);
    let path = common::runs(&user.state().join("runs")).pop().expect("a run").join("report.html");
    assert!(said.err.lines().any(|line| line.starts_with("page: ")), "{}", said.err);
    let page = fs::read_to_string(&path).expect("report.html");
    let again = user.run(&["report", "last", "--as", "html"]);
    assert_eq!(again.out, page.replace(env!("CARGO_BIN_EXE_notafter"), "notafter"));
    fits(browser, &user, &page);
}

/// Nine services are more than a telephone is wide: the grid scrolls in its own box, the page does not.
fn the_page_of_orders_fits_every_screen_and_has_no_error(browser: &Path) {
    let user = User::new();
    let said = user.run(&["orders", "stack", "--start", "needs-first", "--strength", "2", "--ways", "none"]);
    let page = user.run(&["report", "last", "--as", "html"]).out;
    assert!(page.contains("class=\"edge\"") && page.contains("✕"), "no graph or no crash:\n{}", said.all());
    fits(browser, &user, &page);
}

/// Two certificates: one that takes something down after a restart only, and one that many rely on.
fn the_page_of_a_blast_fits_every_screen_and_has_no_error(browser: &Path) {
    let user = User::new();
    let file = user.state().join("blast.html");
    let said = user.run(&["blast", "stack", "--only", "auth", "--page", &file.to_string_lossy()]);
    let page = fs::read_to_string(&file);
    let page = page.unwrap_or_else(|error| panic!("{error}: {}", said.all()));
    assert!(page.contains("auth/") && page.contains("--only auth"), "{page}");
    fits(browser, &user, &page);
}

/// Of what is kept as an expectation, with an answer that nobody found.
fn the_page_of_a_profile_fits_every_screen_and_has_no_error(browser: &Path) {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/servers/profiles");
    let read = |server: &str| {
        let path = kept.join(server).with_extension("json");
        let text = fs::read_to_string(&path);
        let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        serde_json::from_str::<Profile>(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    let mut profiles = ["nginx", "postgresql"].map(read);
    profiles[0].cells[0].answer = UNKNOWN.into();
    let page = profile::page(&profiles);
    assert!(page.contains("What nginx and postgresql do with certificates"), "{page}");
    fits(browser, &User::new(), &page);
}

fn the_page_of_the_past_fits_every_screen_and_has_no_error(browser: &Path) {
    let user = User::new();
    let night = user.run(&["nightly", "aware-2022/as-it-was", "--repeats", "1", "--scale", "1m=5ms"]);
    let page = fs::read_to_string(user.state().join("runs/history.html"));
    let page = page.unwrap_or_else(|error| panic!("{error}: {}", night.all()));
    assert!(page.contains("<svg class=\"spark\"") && page.contains("href=\"file:///"), "{page}");
    fits(browser, &user, &page);
}

fn fits(browser: &Path, user: &User, page: &str) {
    for width in WIDTHS {
        let seen = look(browser, user, page, width);
        assert_eq!(seen.probe, format!("screen {width}, page {width}, wider: none"));
        assert_eq!(seen.console, "");
    }
    for (scheme, setting) in SCHEMES {
        let seen = judge(browser, user, page, setting);
        assert_eq!(seen.probe, format!("{scheme}, many rules passed, wrong: nothing"));
    }
}

/// With names and paths that are longer than any screen is wide.
fn the_page_of_an_inventory_fits_every_screen_and_has_no_error(browser: &Path) {
    let user = User::new();
    let authority =
        Authority::new("an-authority-whose-name-is-longer-than-a-telephone-is-wide").expect("one");
    let name = format!("{}.example.org", "very-long-name.".repeat(8));
    let short = Validity::lasting(Duration::from_mins(30));
    for number in 0..3 {
        let folder =
            user.state().join("a-folder-with-a-name-that-is-not-short/".repeat(2)).join(number.to_string());
        let credential = authority.issue(&Identity::service(&name), short).expect("a credential");
        fs::create_dir_all(&folder).expect("a folder");
        credential.write(&folder).expect("a mount");
    }
    user.file("broken.crt", "-----BEGIN CERTIFICATE-----\nMIIB\n");
    let said = user.run(&["inventory", user.state().to_str().expect("UTF-8"), "--as", "html"]);
    assert_eq!((said.code, said.err.as_str()), (Some(1), ""), "each certificate ends within the hour");
    fits(browser, &user, &said.out);
}

/// The control: without it the claim above would hold of a browser that says nothing.
fn the_probe_sees_what_is_wrong(browser: &Path) {
    let user = User::new();
    let bad = "<!doctype html><html><head></head><body><p style=\"width:900px\">wide</p>\
               <script>console.error(\"wrong\")</script></body></html>";
    let seen = look(browser, &user, bad, 360);
    assert!(seen.probe.ends_with("wider: P."), "{}", seen.probe);
    assert!(seen.console.contains("wrong"), "{:?}", seen.console);
}

/// The control of what axe says.
fn axe_sees_what_nobody_can_read(browser: &Path) {
    let user = User::new();
    let bad = "<!doctype html><html><head><style>@media (prefers-color-scheme: dark){body{background:#000}}\
               p{color:#ccc}</style></head><body><main><h1 style=\"color:#777\">h</h1><p>pale</p></main>\
               </body></html>";
    let [light, dark] = SCHEMES.map(|(_, setting)| judge(browser, &user, bad, setting).probe);
    assert!(light.contains("color-contrast at p"), "{light}");
    assert!(light.contains("html-has-lang at html"), "{light}");
    assert!(!dark.contains("color-contrast at p") && dark.starts_with("dark"), "{dark}");
}

/// What a browser says of a page.
struct Seen {
    probe: String,
    console: String,
}

fn look(browser: &Path, user: &User, page: &str, width: u32) -> Seen {
    draw(browser, user, page, PROBE, &[&format!("--window-size={width},800")])
}

/// What axe says of a page, in one colour scheme.
fn judge(browser: &Path, user: &User, page: &str, scheme: &str) -> Seen {
    let script = JUDGE.replace("AXE", &format!("file://{}", axe().display()));
    // It works in slices that a clock starts; this one runs ahead while nothing else does.
    draw(browser, user, page, &script, &["--window-size=1280,800", "--virtual-time-budget=60000", scheme])
}

/// Draws a page with a script in it that leaves its findings in `data-probe`.
fn draw(browser: &Path, user: &User, page: &str, script: &str, options: &[&str]) -> Seen {
    let probed = page.replacen("</head>", &format!("{script}</head>"), 1);
    let path = user.file("page.html", &probed);
    let (dom, log) = (user.state().join("dom.html"), user.state().join("browser.log"));
    let file = |path: &Path| fs::File::create(path).expect("a file in a temporary folder");
    let mut child = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr"])
        .arg(format!("--user-data-dir={}", user.state().join("profile").display()))
        .args(options)
        .args(["--dump-dom", &format!("file://{path}")])
        .stdin(Stdio::null())
        .stdout(file(&dom))
        .stderr(file(&log))
        .spawn()
        .expect("the browser starts");
    let status = wait(PATIENCE, "the browser", || child.try_wait().expect("a child"));
    let log = fs::read_to_string(log).expect("a log");
    assert!(status.success(), "{status}: {log}");
    let dom = fs::read_to_string(dom).expect("a page");
    let probe = dom.split_once("data-probe=\"").and_then(|(_, rest)| rest.split('"').next());
    let console: Vec<&str> = log.lines().filter(|line| line.contains(":CONSOLE")).collect();
    Seen { probe: probe.expect("the probe ran").to_owned(), console: console.join("\n") }
}

/// The accessibility checker.
fn axe() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache");
    cache.unwrap_or_else(home).join(AXE)
}

/// The first browser in `PATH`.
fn browser() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<_> = std::env::split_paths(&path).collect();
    let candidates = BROWSERS.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    candidates.into_iter().find(|path| path.is_file())
}
