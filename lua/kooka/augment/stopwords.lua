--- stopwords: function words that synonym replacement leaves alone, for Spanish and English.
local stopwords = {}

local function set(text)
  local out = {}
  for word in text:gmatch("%S+") do out[word] = true end
  return out
end

--- stopwords.es: {word = true}
stopwords.es = set [[
a al algo alguien alguna algunas alguno algunos algún allí ante antes aquel aquella aquellas aquellos aquello aquí
así aun aunque aún bajo bien cada casi como con contra cual cuales cualquier cuando cuanto cuál cuándo cuánto cómo
de del desde donde dónde dos durante e el ella ellas ello ellos en entonces entre era eran eras eres es esa esas ese
eso esos esta estaba estaban estamos estar estas este esto estos estoy está están estás fue fueron fui había habían
ha haber habrá hace hacia han has hasta hay he hemos hubo incluso la las le les lo los luego mas me mi mis mientras
mucha muchas mucho muchos muy más mí mía mío nada nadie ni ninguna ninguno ningún no nos nosotras nosotros nuestra
nuestras nuestro nuestros nunca o os otra otras otro otros para pero poco por porque pues que quien quienes quién
qué se sea sean ser será serán si sido siempre sin sino sobre solo somos son soy su sus suya suyo sí sólo también
tan tanta tanto te tener tenía tengo ti tiene tienen tienes toda todas todavía todo todos tras tu tus tuya tuyo tú u
un una unas uno unos usted ustedes va vamos van vosotros voy vuestra vuestro y ya yo él]]

--- stopwords.en: {word = true}
stopwords.en = set [[
a about above after again against ain all also am an and any are aren't as at be because been before being below
between both but by can can't could couldn't did didn't do does doesn't doing don't down during each few for from
further had hadn't has hasn't have haven't having he her here hers herself him himself his how i if i'm in into is
isn't it it's its itself just let me more most my myself no nor not now of off on once only or other our ours
ourselves out over own same she should shouldn't so some such than that that's the their theirs them themselves then
there these they this those through to too under until up very was wasn't we were weren't what when where which
while who whom why will with won't would wouldn't you your yours yourself yourselves]]

--- stopwords.of(languages) -> {word = true}
-- languages: "es", "en", a list of both, a table {word = true} of your own, or nil: both.
function stopwords.of(languages)
  if type(languages) == "table" and #languages == 0 then return languages end
  if type(languages) == "string" then languages = { languages } end
  local out = {}
  for _, name in ipairs(languages or { "es", "en" }) do
    if name ~= "es" and name ~= "en" then
      error(("augment: no stop words for '%s': expected es, en or a table {word = true}"):format(tostring(name)), 3)
    end
    for word in pairs(stopwords[name]) do out[word] = true end
  end
  return out
end

return stopwords
