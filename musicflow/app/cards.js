// Cards: one component per list, since a hundred buttons cost a page more than all else. What plays is
// done here; what leads to another view is an address, which the frame draws.

const path = (id) => id.split("/").map(encodeURIComponent).join("/");
const clock = (s) => `${Math.floor(s / 60)}:${String(Math.floor(s % 60)).padStart(2, "0")}`;
const ROW = 56; // Pixels per line of a long list, as the style has it.
const BEFORE = 20; // Lines that are fetched above those in sight.
const PRESSED = ["like", "dislike"];
let returning = null; // The button that a key pressed: the view that it leads to is drawn anew.

export default {
  template: `
    <component :is="kind" :class="{ cards: kind !== 'div' }" @scroll.passive="look">
      <li v-if="total" aria-hidden="true" :style="{ height: first * ROW + 'px' }"></li>
      <component :is="kind === 'div' ? 'div' : 'li'" v-for="(card, at) in cards" :key="first + at"
        :aria-setsize="total || null" :aria-posinset="total ? first + at + 1 : null">
        <article class="card" :data-track="card.song.id">
          <img class="cover" alt="" loading="lazy" :src="base + 'cover/' + path(card.song.id)"
            @error="$event.target.style.visibility = 'hidden'">
          <div class="what">
            <div class="name">
              <div v-if="card.rank" class="rank">{{ card.rank }}</div>
              <div>{{ card.song.name }}</div>
              <div v-if="card.note" class="note">{{ card.note }}</div>
            </div>
            <div class="about">{{ card.about }}</div>
            <div v-if="card.tags.length" class="tags">
              <div>predicted:</div>
              <div v-for="[tag, shared] in card.tags" class="tag" :class="{ shared }"
                :title="shared ? 'The question has this tag, too.' : null">{{ tag }}</div>
            </div>
            <div v-if="card.score !== undefined" class="score">
              <div class="fill" :style="{ width: 100 * Math.min(Math.max(card.score, 0), 1) + '%' }"></div>
              <div title="The likeness: 1 is the same sound, 0 has nothing to do.">{{ card.score.toFixed(3) }}</div>
            </div>
          </div>
          <div class="actions">
            <button v-for="action in actions" type="button" class="icon-button" @click="act(action, at, $event)"
              :class="['do-' + action, { chosen: card.chosen.includes(action) }]"
              :aria-label="words(action, card)" :title="words(action, card)" :aria-pressed="pressed(action, card)">
              <i :class="outlined(action, card) ? 'material-icons-outlined' : 'material-icons'"
                aria-hidden="true">{{ shown[action][0] }}</i>
            </button>
          </div>
        </article>
        <div v-if="at in told" class="why" role="status">
          <div v-if="!told[at]">Listening …</div>
          <div v-else v-for="line in told[at].lines">{{ line }}</div>
          <button v-for="one in told[at]?.passages" type="button" class="do-passage" @click="hear(one, at)">
            <i class="material-icons" aria-hidden="true">play_arrow</i>
            {{ clock(one.query_s) }} of the question, then {{ clock(one.answer_s) }} of this
            ({{ one.score.toFixed(3) }})
          </button>
        </div>
      </component>
      <li v-if="total" aria-hidden="true" :style="{ height: Math.max(total - first - cards.length, 0) * ROW + 'px' }"></li>
    </component>`,
  props: {
    cards: Array, kind: String, actions: Array, shown: Object, player: Number, options: Array, asked: String,
    base: String, first: Number, total: Number,
  },
  emits: ["need"],
  data: () => ({ told: {}, ROW }),
  watch: {
    cards() {
      this.told = {};
      this.awaited = false;
      this.$nextTick(() => { this.look(); this.refocus(); });
    },
  },
  mounted() { this.refocus(); },
  beforeUnmount() { this.hush(); },
  methods: {
    path, clock,
    look() {
      if (!this.total || this.awaited) return;
      const { scrollTop, clientHeight } = this.$el;
      const seen = Math.floor(scrollTop / ROW);
      const last = Math.min(Math.ceil((scrollTop + clientHeight) / ROW), this.total);
      if (seen >= this.first && last <= this.first + this.cards.length) return;
      this.awaited = true;
      this.$emit("need", Math.max(seen - BEFORE, 0));
    },
    words(action, card) {
      const what = card.chosen.includes(action) ? "Take back" : this.shown[action][1];
      return `${what}: ${card.song.name}`;
    },
    pressed(action, card) { return PRESSED.includes(action) ? String(card.chosen.includes(action)) : null; },
    outlined(action, card) { return PRESSED.includes(action) && !card.chosen.includes(action); },
    refocus() {
      if (!returning || document.activeElement !== document.body) return;
      const card = [...this.$el.querySelectorAll(".card")].find((one) => one.dataset.track === returning.id);
      const button = card?.querySelector(`.do-${returning.action}`);
      if (button) { returning = null; button.focus(); }
    },
    act(action, at, event) {
      const player = getElement(this.player), song = { ...this.cards[at].song };
      if (action === "play") player.play(this.cards.map((card) => ({ ...card.song })), at);
      else if (action === "queue") player.add(song);
      else if (action === "radio") player.start_radio(song, this.options);
      else if (action === "why") this.tell(at);
      else {
        if (PRESSED.includes(action)) player.judge(song.id, this.cards[at].chosen.includes(action) ? "" : action);
        returning = event.detail ? null : { action, id: song.id };
        emitEvent("sub_pages_navigate", this.cards[at].links[action]);
      }
    },
    async tell(at) {
      if (at in this.told) { delete this.told[at]; return; }
      const cards = this.cards, [[, embedder]] = this.options;
      this.told[at] = null;
      const query = new URLSearchParams({ track: this.asked, other: cards[at].song.id, embedder });
      let said;
      try { said = await (await fetch(`${this.base}why?${query}`)).json(); }
      catch { said = { detail: "the service does not answer" }; }
      // The answers may be others by now, or this one closed.
      if (cards === this.cards && at in this.told) this.told[at] = this.reasons(said);
    },
    reasons(said) {
      const lines = [...(said.lines ?? [])];
      if (said.passages?.length) lines.push(`Most alike, as ${said.embedder} hears them:`);
      const wrong = said.detail ?? said.problem?.detail;
      if (wrong) lines.push(wrong);
      return { lines, passages: said.passages };
    },
    hush() { this.turn = (this.turn ?? 0) + 1; this.sound?.pause(); },
    async hear(passage, at) {
      const { audio } = getElement(this.player).$refs;
      audio.pause();
      audio.addEventListener("play", this.hush, { once: true });
      const sound = (this.sound ??= new Audio());
      const turn = (this.turn = (this.turn ?? 0) + 1);
      const pieces = [[this.asked, passage.query_s], [this.cards[at].song.id, passage.answer_s]];
      for (const [track, from] of pieces) {
        if (turn !== this.turn) return;
        await new Promise((done) => {
          sound.onpause = sound.onended = sound.onerror = done;
          sound.src = `${this.base}audio/${path(track)}#t=${from},${from + passage.seconds}`;
          sound.play().catch(done);
        });
      }
    },
  },
};
