--- grammar: the sentences of the generated community. All of it was written for this program.
-- {name} is replaced by one of lists[name]. A message is: an opening of its topic, perhaps an odd actor in place of an
-- ordinary one, and an ending that is a punchline (a twist) or a plain remark.
local grammar = {}

grammar.topics = { "pun", "animal", "complaint", "news", "food", "work", "family" }

grammar.openings = {
  pun = {
    "I used to be a {jobname} but I could not {punverb} it", "What do you call a {jobname} who sings? {actor} knows",
    "Never trust a {pet} that tells {wordjoke}", "My {jobname} friend has a {wordjoke} about {dish}",
    "I told {actor} a {wordjoke} about the {machine}", "{wordjoke} of the day: a {pet} and a {jobname} meet at the bar",
    "Someone stole my {machine}, I cannot {punverb} without it", "Time flies like a {machine}, {dish} flies like a {pet}",
  },
  animal = {
    "My {pet} {petverb} again while {actor} watched", "{actor} gave the {pet} a {dish}",
    "The {pet} in our street {petverb} every {day}", "A {pet} sat on the {machine} and {petverb}",
    "I found a {pet} in the {place}, it {petverb}", "Day three with the new {pet}: it {petverb}",
    "Our {pet} looks at {actor} like a {jobname}", "Taught the {pet} to use the {machine} this {day}",
  },
  complaint = {
    "The {machine} stopped working again this {day}", "Waited two hours at the {place} because of {actor}",
    "Why is the bus to the {place} late every {day}", "Paid for a {machine} and got half of a {machine}",
    "{actor} left the door of the {place} open all night", "The queue at the {place} has its own {pet} by now",
    "My phone lost the signal near the {place}", "Nobody answers the telephone at the {place}",
  },
  news = {
    "The city council of {town} votes on the {place} this {day}", "{town} opens a new {place} after long talks",
    "Prices of {dish} rise in {town} for the third month", "Report: the {place} in {town} closes on {day}",
    "Minister visits the {place} in {town} this {day}", "Heavy rain expected near {town} until {day}",
    "{town} buys forty new {machine} units for schools", "Workers of the {place} in {town} agree on a contract",
  },
  food = {
    "Made {dish} for {actor} this {day}", "The {dish} at the {place} needs more {spice}",
    "First try of {dish} with {spice}, {taste}", "{actor} says that {dish} without {spice} is {taste}",
    "Recipe for {dish}: {spice}, patience and a {machine}", "Left the {dish} in the oven since {day}",
    "Breakfast today was {dish} and cold {spice}", "Three plates of {dish} at the {place}, {taste}",
  },
  work = {
    "The meeting about the {machine} lasted until {day}", "My boss asked {actor} for the report on {day}",
    "First week as a {jobname} at the {place}", "{actor} sent an email to the whole office at the {place}",
    "Deadline moved to {day}, the {machine} is not ready", "Working from the {place} with a broken {machine}",
    "The {jobname} next to me types very loud this {day}", "New password rules at work since {day}",
  },
  family = {
    "My mother called {actor} about the {machine}", "Grandpa bought a {machine} for the {pet}",
    "The kids painted the {pet} in the {place}", "My sister and {actor} argue about {dish} every {day}",
    "Dad repairs the {machine} with {spice} this {day}", "Family dinner with {dish} and {actor}",
    "Our aunt from {town} arrives on {day} with {dish}", "My brother wants to be a {jobname} at the {place}",
  },
}

grammar.twists = {
  "plot twist: it was {odd} all along", "and that is how I lost {thing}", "said nobody ever", "guess who is in charge now: {odd}",
  "turns out {thing} was not edible", "I regret nothing except {thing}", "the {pet} is now my lawyer",
  "we agreed to never speak of {thing} again", "10 out of 10 would lose {thing} again", "my diary says hello, {odd} says goodbye",
  "scientists are baffled, {odd} is not", "apparently {thing} has feelings", "the police said it was {odd}",
  "now {odd} follows me on the internet", "and everybody clapped, even {odd}", "I asked for a refund and got {odd}",
}

grammar.plains = {
  "hope it gets better by {day}", "more about it on {day}", "thanks to everyone at the {place}", "we will see how it goes",
  "that was the whole {day}", "details are at the {place}", "let me know what you think", "same as last {day} really",
  "it took most of the {day}", "I will try again on {day}", "photos will follow on {day}", "ask at the {place} if you need one",
  "good to know for next time", "this happens in {town} as well", "have a nice {day} everyone", "we go back to {town} on {day}",
}

grammar.longer = {
  "By the way the {machine} near the {place} is free this {day}.", "I walked from the {place} to the station because the bus was full.",
  "There were many people from {town} and most of them had been there before.", "It was the second time since {day} and surely not the last one.",
  "My neighbour told me about it when we met at the {place} in the morning.", "The weather in {town} was fine and the streets were quiet until {day}.",
}

grammar.grumpy = { "Ugh,", "Honestly,", "Great, just great.", "Sigh.", "I am so tired of this.", "Typical." }
grammar.cheerful = { "Good morning!", "Hey folks,", "So,", "Well,", "Small update:", "Today:", "", "" }

grammar.emoji = { "😂", "🤣", "😅", "🙃", "😹", "🎉", "🤷", "👀", "🔥", "😱" }
grammar.hashtags = {
  pun = { "#WordPlay", "#PunOfTheDay" }, animal = { "#PetLife", "#CatsAndDogs" }, complaint = { "#FirstWorldProblems", "#Fail" },
  news = { "#LocalNews", "#Breaking" }, food = { "#HomeCooking", "#Foodie" }, work = { "#OfficeLife", "#MondayMood" },
  family = { "#FamilyTime", "#Kids" },
}
grammar.stretch = { "so", "no", "really", "wow", "please", "yes" }

grammar.lists = {
  actor = { "my neighbour", "the postman", "a colleague", "my cousin", "the new guy", "our teacher", "a tourist", "my landlord" },
  odd = { "my left shoe", "a retired pirate", "the haunted toaster", "an invisible goat", "the moon", "a potato with a moustache",
    "the ghost of my homework", "a very small dragon", "seventeen penguins", "the talking sofa" },
  thing = { "my dignity", "the garden gnome", "my second sock", "the remote control", "my eyebrows", "the wedding cake",
    "a perfectly good umbrella", "my last banana" },
  pet = { "cat", "dog", "parrot", "hamster", "goldfish", "turtle", "donkey", "rabbit" },
  petverb = { "slept", "ran in circles", "stole a sock", "barked at the wall", "ate the newspaper", "hid under the bed" },
  jobname = { "baker", "dentist", "plumber", "magician", "librarian", "gardener", "pilot", "barber" },
  punverb = { "knead", "handle", "root for", "brace", "cut", "plug" },
  wordjoke = { "pun", "word joke", "riddle", "dad joke", "double meaning" },
  machine = { "printer", "fridge", "bicycle", "elevator", "laptop", "washing machine", "coffee machine", "radio" },
  dish = { "lasagna", "soup", "pancakes", "rice", "tacos", "salad", "dumplings", "pizza" },
  spice = { "salt", "garlic", "pepper", "cinnamon", "butter", "lemon" },
  taste = { "not bad", "quite good", "a bit dry", "too sweet", "just right" },
  place = { "library", "station", "market", "garage", "post office", "gym", "park", "museum" },
  town = { "Rivertown", "Oakfield", "Westport", "Milldale", "Lakeside", "Northbridge" },
  day = { "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday" },
}

return grammar
