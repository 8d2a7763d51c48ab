// The player: a queue, a bar that stays while pages change, and a radio. It works on its own, so that
// music goes on when a phone sleeps and the page is cut off from the service.

const HEARD_S = 2; // From here on a song counts as heard; from its half, if it is shorter.
const SKIPPED = 0.5; // What is left before this share of a song is disliked by the radio.
const KEPT = "musicflow-queue";
const TASTE = 10; // Songs that the radio follows.

const path = (id) => id.split("/").map(encodeURIComponent).join("/");
const clock = (s) =>
  Number.isFinite(s) ? `${Math.floor(s / 60)}:${String(Math.floor(s % 60)).padStart(2, "0")}` : "–";

export default {
  template: `
    <div class="player" role="region" aria-label="Player" v-show="song">
      <audio ref="audio" @play="playing = true" @pause="playing = false" @ended="ended" @error="failed"
        @timeupdate="tick" @loadedmetadata="tick"></audio>
      <img v-if="song && !song.hidden" class="cover" :src="base + 'cover/' + path(song.id)" alt=""
        @error="$event.target.style.visibility = 'hidden'" @load="$event.target.style.visibility = ''">
      <div class="what" aria-live="polite">
        <div class="name">{{ song?.name }}</div>
        <div class="about">{{ problem || song?.artist }}<span v-if="radio" class="on-air"> · radio</span></div>
      </div>
      <div class="controls">
        <q-btn flat round icon="skip_previous" aria-label="Previous" :disable="place < 1" @click="step(-1)" />
        <q-btn round color="primary" :icon="playing ? 'pause' : 'play_arrow'"
          :aria-label="playing ? 'Pause' : 'Play'" @click="toggle" />
        <q-btn flat round icon="skip_next" aria-label="Next" :disable="!more" @click="skip" />
      </div>
      <div class="seek">
        <span>{{ clock(now) }}</span>
        <input type="range" min="0" :max="length || 1" step="0.1" :value="now" aria-label="Place in the song"
          @input="$refs.audio.currentTime = $event.target.value">
        <span>{{ clock(length) }}</span>
      </div>
      <q-btn flat round icon="queue_music" aria-label="Queue" :aria-expanded="String(open)"
        @click="open = !open"><q-badge v-if="left" floating>{{ left }}</q-badge></q-btn>
      <div class="queue" v-if="open" role="dialog" aria-label="Queue">
        <div class="row" v-for="(one, at) in queue" :class="{ current: at === place }" :key="one.id + at">
          <button class="pick" @click="go(at)">{{ one.name }}<small> {{ one.artist }}</small></button>
          <q-btn flat dense round icon="close" :aria-label="'Take out ' + one.name" @click="remove(at)" />
        </div>
        <div class="row"><q-btn flat no-caps label="Clear" icon="clear_all" @click="clear" />
          <q-btn flat no-caps icon="playlist_add" label="Save as playlist" @click="$emit('save', queue.map((s) => s.id))" />
        </div>
      </div>
    </div>`,
  props: { base: String },
  emits: ["save", "heard", "song"],
  data: () => ({
    queue: [], place: -1, playing: false, now: 0, length: 0, open: false, radio: null, problem: "",
  }),
  computed: {
    song() { return this.queue[this.place]; },
    left() { return Math.max(this.queue.length - this.place - 1, 0); },
    more() { return this.left > 0 || !!this.radio; },
  },
  mounted() {
    const session = navigator.mediaSession;
    const keys = {
      play: () => this.$refs.audio.play(), pause: () => this.$refs.audio.pause(),
      nexttrack: () => this.skip(), previoustrack: () => this.step(-1),
      seekto: (to) => { this.$refs.audio.currentTime = to.seekTime; },
    };
    for (const [key, act] of Object.entries(keys)) session?.setActionHandler(key, act);
    this.onKey = (event) => {
      if (event.key === "Escape") this.open = false;
      if (event.target.closest("input, textarea, button, [role=button], [role=combobox], a")) return;
      if (event.key === " " && this.song) { event.preventDefault(); this.toggle(); }
    };
    document.addEventListener("keydown", this.onKey);
    window.addEventListener("pagehide", this.keep);
    this.restore();
  },
  beforeUnmount() {
    document.removeEventListener("keydown", this.onKey);
    window.removeEventListener("pagehide", this.keep);
  },
  methods: {
    path, clock,
    keep() {
      const { queue, place, now, radio } = this;
      sessionStorage.setItem(KEPT, JSON.stringify({ queue, place, now, radio }));
    },
    restore() {
      // What was played before the page was loaded anew; browsers start no sound by themselves.
      const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? "null");
      if (!kept?.queue[kept.place]) return;
      Object.assign(this, kept, { counted: true, tried: false });
      this.$refs.audio.src = `${this.base}audio/${path(this.song.id)}#t=${kept.now}`;
    },
    play(songs, at = 0) { this.radio = null; this.queue = songs; this.go(at); },
    add(song) { this.queue.push(song); if (this.place < 0) this.go(0); },
    start_radio(song, options) {
      this.play([song]);
      this.radio = { options, likes: [song.id], dislikes: [] };
    },
    judge(id, action) {
      if (!this.radio) return;
      for (const kind of ["likes", "dislikes"]) this.radio[kind] = this.radio[kind].filter((one) => one !== id);
      if (action) this.radio[action + "s"].push(id);
    },
    go(at) {
      if (!this.queue[at]) return;
      this.place = at; this.problem = ""; this.counted = false; this.tried = false;
      const { audio } = this.$refs;
      audio.src = this.base + "audio/" + path(this.song.id);
      audio.play().catch(() => {});
      if (navigator.mediaSession) {
        const { name, artist, id, hidden } = this.song;
        const artwork = hidden ? [] : [{ src: this.base + "cover/" + path(id) }];
        navigator.mediaSession.metadata = new MediaMetadata({ title: name, artist, artwork });
      }
      this.$emit("song", this.song.id);
    },
    toggle() { const { audio } = this.$refs; audio.paused ? audio.play() : audio.pause(); },
    step(by) { this.go(this.place + by); },
    async skip() {
      if (this.radio && this.now < SKIPPED * (this.length || 1)) this.radio.dislikes.push(this.song.id);
      await this.next();
    },
    async ended() { this.count(); if (this.radio) this.radio.likes.push(this.song.id); await this.next(); },
    async next() {
      if (!this.left && this.radio) await this.tune();
      this.step(1);
    },
    async tune() {
      const { options, likes, dislikes } = this.radio;
      const query = new URLSearchParams(options);
      likes.slice(-TASTE).forEach((id) => query.append("like", id));
      dislikes.slice(-TASTE).filter((id) => !likes.includes(id)).forEach((id) => query.append("dislike", id));
      query.append("k", String(Math.min(this.queue.length + 10, 1000)));
      try {
        const said = await (await fetch(`${this.base}recommend?${query}`)).json();
        const heard = new Set(this.queue.map((one) => one.id));
        const next = said.answers?.find((one) => !heard.has(one.track_id));
        if (next) this.queue.push({ id: next.track_id, name: next.name, artist: next.artist });
        else this.problem = said.detail || "the radio has no more songs";
      } catch { this.problem = "the service does not answer"; }
    },
    failed() {
      if (!this.song || this.tried) { this.problem = "this file cannot be played"; return; }
      // Some kinds of files only the service can decode: it gives their first minute.
      this.tried = true;
      this.problem = "the first minute: browsers do not play this kind of file";
      this.$refs.audio.src = this.base + "excerpt/" + path(this.song.id);
      this.$refs.audio.play().catch(() => {});
    },
    tick() {
      const { audio } = this.$refs;
      this.now = audio.currentTime; this.length = audio.duration;
      if (this.now >= Math.min(HEARD_S, this.length / 2)) this.count();
    },
    count() {
      if (!this.counted) this.$emit("heard", this.song.id);
      this.counted = true;
    },
    remove(at) {
      this.queue.splice(at, 1);
      if (at < this.place) this.place -= 1;
      else if (at === this.place) this.queue[at] ? this.go(at) : this.clear();
    },
    clear() {
      this.$refs.audio.pause(); this.$refs.audio.removeAttribute("src");
      Object.assign(this, { queue: [], place: -1, radio: null, open: false, problem: "" });
    },
  },
};
